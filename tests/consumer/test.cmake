# Builds and runs a separate project, in this folder or the one below, in one of the ways that a user has.
# cmake -D WAY=<cmake, pkg-config, folder or simulated> -D BUILD=<build folder of miniparallel> -D SOURCE=<its source>
#       -D WORK=<scratch folder> -D COMPILER=<c++> -P test.cmake
set(project ${CMAKE_CURRENT_LIST_DIR})
set(scratch "${WORK}/a path with spaces")
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${scratch})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(configure)
  run(${CMAKE_COMMAND} -S ${project} -B ${scratch}/build -G Ninja -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_COMPILER=${COMPILER} ${ARGN})
endfunction()

function(build)
  run(${CMAKE_COMMAND} --build ${scratch}/build --target ${ARGN})
endfunction()

# Nothing in the package may remember where it was installed.
function(install_and_move)  # [components besides the library]
  foreach(component miniparallel ${ARGN})
    run(${CMAKE_COMMAND} --install ${BUILD} --component ${component} --prefix ${scratch}/installed)
  endforeach()
  file(RENAME ${scratch}/installed ${scratch}/moved)
endfunction()

# Runs a program, which must end with `status` and print what `pattern` matches.
function(expect status pattern)  # environment and command
  execute_process(COMMAND ${CMAKE_COMMAND} -E env ${ARGN} RESULT_VARIABLE got OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT got EQUAL status OR NOT text MATCHES "${pattern}")
    message(FATAL_ERROR "${ARGN} ended with ${got} instead of ${status}, or its output does not match ${pattern}:\n${text}")
  endif()
  set(matched "${CMAKE_MATCH_1}" PARENT_SCOPE)
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
  run(${COMPILER} -std=c++20 -O1 ${project}/main.cpp -o ${scratch}/consumer ${flags})
  run(${scratch}/consumer)
  run(${COMPILER} -std=c++20 -O1 -shared -fPIC ${project}/plugin.cpp -o ${scratch}/libplugin.so ${flags})
  run(${COMPILER} -O1 ${project}/host.cpp -o ${scratch}/host ${scratch}/libplugin.so)
  run(${scratch}/host)
elseif(WAY STREQUAL folder)
  # The whole library would take as long as the first build; one file of it and one of the project tell whether each gets
  # its options, and the list of commands whether the rest could be made.
  configure(-D MINIPARALLEL_SOURCE=${SOURCE})
  build(CMakeFiles/plugin.dir/plugin.cpp.o miniparallel/CMakeFiles/miniparallel_core.dir/engine/version.cpp.o)
  run(${CMAKE_COMMAND} --build ${scratch}/build --target consumer host -- -n)
elseif(WAY STREQUAL simulated)
  # A missing component is told, and how to get it.
  string(APPEND project /simulated)
  install_and_move()
  set(options -D CMAKE_PREFIX_PATH=${scratch}/moved -D SNIPPETS=${BUILD}/tests)
  expect(1 "The component 'simulated' is not installed here: configure[ \n]+miniparallel[ \n]+with[ \n]+-DMINIPARALLEL_SIMULATOR=ON"
         ${CMAKE_COMMAND} -S ${project} -B ${scratch}/build -G Ninja -D CMAKE_CXX_COMPILER=${COMPILER} ${options})

  file(REMOVE_RECURSE ${scratch}/build ${scratch}/moved)
  install_and_move(miniparallel_simulated)
  configure(${options})
  build(train train_on_cpu careless)
  expect(0 "loss ([0-9.]+) with 1 replicas\ncpu: [1-9]" ${scratch}/build/train_on_cpu)
  set(loss ${matched})
  foreach(check 0 1)
    expect(0 "loss ${loss} with 4 replicas\ncuda:0: [1-9].*cuda:1: [1-9].*cuda:2: [1-9].*cuda:3: [1-9]"
           MINIPARALLEL_SIMULATED_GPUS=4 MINIPARALLEL_SIMULATED_CHECK=${check} ${scratch}/build/train)
  endforeach()
  expect(0 "^1\n$" ${scratch}/build/careless)
  expect(66 "host access" MINIPARALLEL_SIMULATED_CHECK=1 ${scratch}/build/careless)
endif()
file(REMOVE_RECURSE ${WORK})
