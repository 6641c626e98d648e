# Builds and runs the separate project beside this file in one of the ways that a user has.
# cmake -D WAY=<cmake, pkg-config or folder> -D BUILD=<build folder of miniparallel> -D SOURCE=<its source>
#       -D WORK=<scratch folder> -D COMPILER=<c++> -P test.cmake
set(consumer ${CMAKE_CURRENT_LIST_DIR})
set(scratch "${WORK}/a path with spaces")
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${scratch})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(configure)
  run(${CMAKE_COMMAND} -S ${consumer} -B ${scratch}/build -G Ninja -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_COMPILER=${COMPILER} ${ARGN})
endfunction()

function(build)
  run(${CMAKE_COMMAND} --build ${scratch}/build --target ${ARGN})
endfunction()

# Nothing in the package may remember where it was installed.
function(install_and_move)
  run(${CMAKE_COMMAND} --install ${BUILD} --component miniparallel --prefix ${scratch}/installed)
  file(RENAME ${scratch}/installed ${scratch}/moved)
endfunction()

if(WAY STREQUAL cmake)
  install_and_move()
  configure(-D CMAKE_PREFIX_PATH=${scratch}/moved)
  build(consumer host)
  run(${scratch}/build/consumer)
  run(${scratch}/build/host)
elseif(WAY STREQUAL pkg-config)
  install_and_move()
  set(ENV{PKG_CONFIG_PATH} "${scratch}/moved/lib/pkgconfig:${scratch}/moved/lib64/pkgconfig")
  find_program(PKG_CONFIG pkg-config REQUIRED)
  execute_process(COMMAND ${PKG_CONFIG} --cflags --libs miniparallel OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  run(${COMPILER} -std=c++20 -O1 ${consumer}/main.cpp -o ${scratch}/consumer ${flags})
  run(${scratch}/consumer)
  run(${COMPILER} -std=c++20 -O1 -shared -fPIC ${consumer}/plugin.cpp -o ${scratch}/libplugin.so ${flags})
  run(${COMPILER} -O1 ${consumer}/host.cpp -o ${scratch}/host ${scratch}/libplugin.so)
  run(${scratch}/host)
elseif(WAY STREQUAL folder)
  # The whole library would take as long as the first build; one file of it and one of the project tell whether each gets
  # its options, and the list of commands whether the rest could be made.
  configure(-D MINIPARALLEL_SOURCE=${SOURCE})
  build(CMakeFiles/plugin.dir/plugin.cpp.o miniparallel/CMakeFiles/miniparallel_core.dir/engine/version.cpp.o)
  run(${CMAKE_COMMAND} --build ${scratch}/build --target consumer host -- -n)
endif()
file(REMOVE_RECURSE ${WORK})
