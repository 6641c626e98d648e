# target_simulated_kernels(<target> [CHECKED] SOURCES <files>...)
# Compiles CUDA kernel files as C++ into a target that links to the simulator. With CHECKED every load and store of the
# kernels is looked up by the simulator: the sanitizer's instrumentation is used, its library is not.
function(target_simulated_kernels target)
  cmake_parse_arguments(kernels "CHECKED" "" "SOURCES" ${ARGN})
  set(objects ${target}_kernels)
  set_source_files_properties(${kernels_SOURCES} PROPERTIES LANGUAGE CXX)
  add_library(${objects} OBJECT ${kernels_SOURCES})
  get_target_property(libraries ${target} LINK_LIBRARIES)
  target_link_libraries(${objects} PRIVATE miniparallel::simulator ${libraries})
  target_compile_options(${objects} PRIVATE -x c++ $<$<BOOL:${kernels_CHECKED}>:-fsanitize=thread>)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
endfunction()
