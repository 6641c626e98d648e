# The library target. Sources are globbed: a file in kernels/, engine/ or parallel/ is part of the library.
find_package(Threads REQUIRED)
if(MINIPARALLEL_STD_THREADS)
  set(blas_flavour openblas-serial)
else()
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  set(blas_flavour openblas-openmp)
endif()
find_package(ZLIB REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(hwy REQUIRED)
find_path(MINIPARALLEL_CBLAS_INCLUDE cblas.h PATH_SUFFIXES ${blas_flavour} openblas REQUIRED)
find_library(MINIPARALLEL_BLAS openblas PATH_SUFFIXES ${blas_flavour} REQUIRED)

file(GLOB_RECURSE sources CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/kernels/cpu/*.cpp ${PROJECT_SOURCE_DIR}/kernels/*.cpp
  ${PROJECT_SOURCE_DIR}/engine/*.cpp ${PROJECT_SOURCE_DIR}/parallel/*.cpp)
list(FILTER sources EXCLUDE REGEX "/kernels/cuda/")
list(REMOVE_DUPLICATES sources)

add_library(miniparallel STATIC ${sources})
add_library(miniparallel::miniparallel ALIAS miniparallel)
target_include_directories(miniparallel
  PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
  PRIVATE ${PROJECT_SOURCE_DIR})
target_include_directories(miniparallel SYSTEM PRIVATE ${MINIPARALLEL_CBLAS_INCLUDE})
target_compile_features(miniparallel PUBLIC cxx_std_20)
target_link_libraries(miniparallel
  PRIVATE $<BUILD_INTERFACE:miniparallel_options> $<IF:$<BOOL:${MINIPARALLEL_STD_THREADS}>,Threads::Threads,OpenMP::OpenMP_CXX> ZLIB::ZLIB hwy::hwy ${MINIPARALLEL_BLAS}
          $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)
target_compile_definitions(miniparallel PRIVATE $<$<BOOL:${MINIPARALLEL_STD_THREADS}>:MINIPARALLEL_STD_THREADS>)
set_target_properties(miniparallel PROPERTIES VERSION ${PROJECT_VERSION})
