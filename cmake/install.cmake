# Installs the library for CMake (find_package(miniparallel)) and for pkg-config, and packs it for Debian (cpack -G DEB).
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/miniparallel)
set(generated ${CMAKE_CURRENT_BINARY_DIR}/package)

install(TARGETS miniparallel EXPORT miniparallel ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT miniparallel)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/miniparallel DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT miniparallel)
if(MINIPARALLEL_CUDA)  # for kernels of one's own
  install(FILES ${PROJECT_SOURCE_DIR}/kernels/cuda/device/launch.h ${PROJECT_SOURCE_DIR}/kernels/cuda/device/check.h
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/miniparallel/cuda COMPONENT miniparallel)
endif()

install(EXPORT miniparallel NAMESPACE miniparallel:: FILE targets.cmake DESTINATION ${package_folder} COMPONENT miniparallel)
configure_file(${CMAKE_CURRENT_LIST_DIR}/package/config.cmake.in ${generated}/miniparallel-config.cmake @ONLY)
write_basic_package_version_file(${generated}/miniparallel-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${generated}/miniparallel-config.cmake ${generated}/miniparallel-config-version.cmake
              ${CMAKE_CURRENT_LIST_DIR}/package/FindCblas.cmake
        DESTINATION ${package_folder} COMPONENT miniparallel)

# A static library alone: every program needs the libraries that it links to, so they are in Libs, not in Libs.private. The
# folder of the BLAS is also the program's at run time, where the system may have another flavour of the same name.
cmake_path(GET CBLAS_LIBRARY PARENT_PATH blas_folder)
set(libraries "-L${blas_folder} -Wl,-rpath,${blas_folder} -lopenblas")
if(openmp)
  string(APPEND libraries " -l${openmp}")
endif()
if(MINIPARALLEL_CUDA)
  string(APPEND libraries " -L${CUDAToolkit_LIBRARY_DIR} -Wl,-rpath,${CUDAToolkit_LIBRARY_DIR} -lcublas -lcublasLt -lcudart_static -ldl -lrt")
endif()
string(APPEND libraries " -lpthread")
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE prefix)
configure_file(${CMAKE_CURRENT_LIST_DIR}/package/miniparallel.pc.in ${generated}/miniparallel.pc @ONLY)
install(FILES ${generated}/miniparallel.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT miniparallel)
if(PROJECT_IS_TOP_LEVEL)
  include(package/debian)
endif()
