# The library. Sources are globbed: a file in kernels/, engine/ or parallel/ is part of it. Files without CUDA are compiled
# once, as miniparallel_core, whatever is built from it.
find_package(Threads REQUIRED)
if(MINIPARALLEL_STD_THREADS)
  set(threads Threads::Threads)
  set(blas_flavour serial)
else()
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  list(GET OpenMP_CXX_LIB_NAMES 0 openmp)
  cmake_path(GET OpenMP_${openmp}_LIBRARY PARENT_PATH openmp_folder)
  set(threads $<BUILD_INTERFACE:OpenMP::OpenMP_CXX> $<INSTALL_INTERFACE:miniparallel::openmp>)
  set(blas_flavour openmp)
endif()
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(hwy REQUIRED)
find_package(Cblas REQUIRED COMPONENTS ${blas_flavour})

file(GLOB_RECURSE core_sources CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/kernels/*.cpp ${PROJECT_SOURCE_DIR}/engine/*.cpp ${PROJECT_SOURCE_DIR}/parallel/*.cpp)
list(FILTER core_sources EXCLUDE REGEX "/(kernels|engine)/cuda/|/engine/backends\\.cpp$")
file(GLOB_RECURSE MINIPARALLEL_CUDA_SOURCES CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cpp ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu
  ${PROJECT_SOURCE_DIR}/engine/cuda/*.cpp)

# What every target that compiles the library's sources needs.
function(miniparallel_configure target)
  target_include_directories(${target}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target}
    PRIVATE $<BUILD_INTERFACE:miniparallel_options> ${threads} ZLIB::ZLIB PNG::PNG JPEG::JPEG hwy::hwy Cblas::Cblas
            $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)
  target_compile_definitions(${target} PRIVATE $<$<BOOL:${MINIPARALLEL_STD_THREADS}>:MINIPARALLEL_STD_THREADS>)
endfunction()

add_library(miniparallel_core OBJECT ${core_sources})
miniparallel_configure(miniparallel_core)
if(NOT MINIPARALLEL_SANITIZE AND NOT CMAKE_BUILD_TYPE STREQUAL Debug)
  # Loops over elements. Tiles are vectors already, and some files only call what computes.
  foreach(source ${core_sources})
    if(source MATCHES "/kernels/|/engine/(data|io)/"
       AND NOT source MATCHES "/kernels/cpu/(attention|blas|conv2d|conv2d_winograd|lapack|matmul|panels|sort)\\.cpp$")
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -O3)
    endif()
    # GCC unrolls loops of up to 16 rounds whole. Here most of them are the rest of a row, less than a vector, which would
    # become longer than the loop itself.
    if(source MATCHES "/kernels/cpu/(collective|cross_entropy|elementwise|norm|optimizer|reduce|softmax)\\.cpp$")
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS
        $<$<CXX_COMPILER_ID:GNU>:--param=max-completely-peel-times=4>)
    endif()
  endforeach()
endif()
if(MINIPARALLEL_FUZZ)  # whose parsers tell a fuzzer where its input led; elsewhere that would only make builds long
  foreach(source ${core_sources})
    if(source MATCHES "/engine/(data|io)/")
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -fsanitize=fuzzer-no-link)
    endif()
  endforeach()
endif()

# The core and the backends in ARGN; without any, for the CPU alone. backends.cpp, the one file that knows which there
# are, is compiled for each.
function(miniparallel_add_library target)
  add_library(${target} STATIC $<TARGET_OBJECTS:miniparallel_core> ${PROJECT_SOURCE_DIR}/engine/backends.cpp ${ARGN})
  miniparallel_configure(${target})
  if(ARGN)
    target_compile_definitions(${target} PRIVATE MINIPARALLEL_HAS_CUDA)
  endif()
  set_target_properties(${target} PROPERTIES VERSION ${PROJECT_VERSION})
endfunction()

if(MINIPARALLEL_CUDA)
  include(cuda)
  miniparallel_add_library(miniparallel ${MINIPARALLEL_CUDA_SOURCES})
  miniparallel_use_cuda(miniparallel)
else()
  miniparallel_add_library(miniparallel)
endif()
add_library(miniparallel::miniparallel ALIAS miniparallel)
