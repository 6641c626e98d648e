# The CBLAS of OpenBLAS in one flavour, "openmp" or "serial", told as component: target Cblas::Cblas. Flavours must not be
# mixed up: next to OpenMP the pthread flavour has its own threads, which compete with the program's.
set(flavour openblas-${Cblas_FIND_COMPONENTS})
find_path(CBLAS_INCLUDE cblas.h PATH_SUFFIXES ${flavour} openblas)
find_library(CBLAS_LIBRARY openblas PATH_SUFFIXES ${flavour})
mark_as_advanced(CBLAS_INCLUDE CBLAS_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Cblas REQUIRED_VARS CBLAS_LIBRARY CBLAS_INCLUDE
  REASON_FAILURE_MESSAGE "Install OpenBLAS, on Debian lib${flavour}-dev.")
if(Cblas_FOUND AND NOT TARGET Cblas::Cblas)
  add_library(Cblas::Cblas UNKNOWN IMPORTED)
  set_target_properties(Cblas::Cblas PROPERTIES
    IMPORTED_LOCATION ${CBLAS_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${CBLAS_INCLUDE})
endif()
