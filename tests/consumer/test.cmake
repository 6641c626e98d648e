# Builds and runs the separate project beside this file in every way that a user has.
# cmake -D BUILD=<build folder of miniparallel> -D SOURCE=<its source> -D WORK=<scratch folder> -D COMPILER=<c++>
#       [-D LAUNCHER=<compiler cache>] [-D INSTALLED_ONLY=ON] -P test.cmake
set(consumer ${CMAKE_CURRENT_LIST_DIR})
set(scratch "${WORK}/a path with spaces")
set(prefix "${scratch}/prefix")
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${scratch})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(build_with_cmake folder)
  run(${CMAKE_COMMAND} -S ${consumer} -B ${folder} -G Ninja -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_COMPILER=${COMPILER} ${ARGN})
  run(${CMAKE_COMMAND} --build ${folder} --target consumer host)
  run(${folder}/consumer)
  run(${folder}/host)
endfunction()

message(STATUS "Installed, found by CMake")
run(${CMAKE_COMMAND} --install ${BUILD} --component miniparallel --prefix ${prefix})
file(RENAME ${prefix} "${scratch}/moved")  # nothing in the package may remember where it was installed
build_with_cmake("${scratch}/cmake" "-DCMAKE_PREFIX_PATH=${scratch}/moved")

message(STATUS "Installed, found by pkg-config")
set(ENV{PKG_CONFIG_PATH} "${scratch}/moved/lib/pkgconfig:${scratch}/moved/lib64/pkgconfig")
find_program(PKG_CONFIG pkg-config REQUIRED)
execute_process(COMMAND ${PKG_CONFIG} --cflags --libs miniparallel OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${flags}")
run(${COMPILER} -std=c++20 -O1 ${consumer}/main.cpp -o "${scratch}/consumer" ${flags})
run("${scratch}/consumer")
run(${COMPILER} -std=c++20 -O1 -shared -fPIC ${consumer}/plugin.cpp -o "${scratch}/libplugin.so" ${flags})
run(${COMPILER} -O1 ${consumer}/host.cpp -o "${scratch}/host" "${scratch}/libplugin.so")
run("${scratch}/host")

if(INSTALLED_ONLY)
  file(REMOVE_RECURSE ${WORK})
  return()
endif()
message(STATUS "As a folder of the user's project")
# Beside the first build and with its options, so that a compiler cache knows most of the files.
set(folder "${BUILD} as a part")
set(ENV{CMAKE_CXX_COMPILER_LAUNCHER} "${LAUNCHER}")
file(REMOVE_RECURSE ${folder})
build_with_cmake(${folder} -D MINIPARALLEL_SOURCE=${SOURCE} -D MINIPARALLEL_WERROR=ON -D CMAKE_CXX_FLAGS_RELEASE=-O3)
file(REMOVE_RECURSE ${WORK} ${folder})
