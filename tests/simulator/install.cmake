# Installs the simulator as a package of its own: find_package(miniparallel_simulator), target miniparallel::simulator.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/miniparallel_simulator)

set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME miniparallel_simulated)  # with what is built on it
set_target_properties(miniparallel_simulator PROPERTIES EXPORT_NAME simulator)
install(TARGETS miniparallel_simulator EXPORT miniparallel_simulator ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT miniparallel_simulator NAMESPACE miniparallel:: FILE targets.cmake DESTINATION ${package_folder})
install(DIRECTORY include/miniparallel DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/kernels/cuda/device/launch.h ${PROJECT_SOURCE_DIR}/kernels/cuda/device/check.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/miniparallel/cuda)
install(FILES ${PROJECT_SOURCE_DIR}/include/miniparallel/error.h ${PROJECT_SOURCE_DIR}/include/miniparallel/require_cxx20.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/miniparallel)
install(FILES kernels.cmake DESTINATION ${package_folder})
install(FILES config.cmake RENAME miniparallel_simulator-config.cmake DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/version.cmake RENAME miniparallel_simulator-config-version.cmake
        DESTINATION ${package_folder})
