# Compiler settings shared by every target of the project: link to miniparallel_options.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Type of build" FORCE)
endif()
if(PROJECT_IS_TOP_LEVEL)  # a project that contains this one has its own
  set(CMAKE_CXX_FLAGS_RELEASE "-O2" CACHE STRING "" FORCE)  # argument checks throw; assert stays on
  set(CMAKE_CUDA_FLAGS_RELEASE "-O3" CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CCACHE ccache)
if(CCACHE AND PROJECT_IS_TOP_LEVEL)
  # Every build folder, also of another copy of the tree, finds what one has compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

add_library(miniparallel_options INTERFACE)
target_compile_features(miniparallel_options INTERFACE cxx_std_20)
target_compile_options(miniparallel_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:
  -Wall -Wextra -Wpedantic -Wshadow $<$<BOOL:${MINIPARALLEL_WERROR}>:-Werror>
  # GCC 12 reports sums of std::string that are correct (GCC bugs 105651 and 105329).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-stringop-overflow -Wno-array-bounds>
  -fno-math-errno -fno-trapping-math>)
if(MINIPARALLEL_SANITIZE)
  target_compile_options(miniparallel_options INTERFACE -fsanitize=${MINIPARALLEL_SANITIZE} -fno-omit-frame-pointer -g1 -O1
                         -fno-sanitize-recover=all)
  # Instrumented loops do not vectorise; Clang would warn of each that asks for it.
  target_compile_options(miniparallel_options INTERFACE $<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>)
  target_link_options(miniparallel_options INTERFACE -fsanitize=${MINIPARALLEL_SANITIZE})
endif()
if(MINIPARALLEL_COVERAGE)  # cmake/simulated says what is counted
  add_link_options(--coverage)
endif()
