# The Debian package of the library: `cpack -G DEB` in the build folder. Programs that use the library compile against
# headers and link to a static archive, so it is one package for development, and depends on the libraries they link to.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "miniparallel <miniparallel@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "tensors, autograd and neural networks for C++")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Headers and static library of miniparallel: tensors, reverse-mode autograd, layers, optimizers and
 data loading for training neural networks inside C++ programs.")
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libopenblas-${blas_flavour}-dev, libhwy-dev, zlib1g-dev, libpng-dev, libjpeg62-turbo-dev")
if(openmp STREQUAL gomp)
  string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", libgomp1")
endif()
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "g++, cmake, pkg-config")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES OFF)

set(CPACK_COMPONENTS_ALL miniparallel miniparallel_docs)  # without the simulator
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_PACKAGE_NAME libminiparallel-dev)

# Folders as in the tree, so that links between pages hold; and the reference, where target docs has made it.
set(pages share/doc/libminiparallel-dev)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE RENAME copyright DESTINATION ${pages} COMPONENT miniparallel_docs)
install(FILES ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${pages} COMPONENT miniparallel_docs)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs ${PROJECT_SOURCE_DIR}/examples DESTINATION ${pages} COMPONENT miniparallel_docs)
install(DIRECTORY ${CMAKE_BINARY_DIR}/docs/html/ DESTINATION ${pages}/reference COMPONENT miniparallel_docs OPTIONAL)
include(CPack)
