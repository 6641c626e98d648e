# The kernels that run on the simulator compile for real GPUs from the same sources, with warnings as errors.
# cmake -DNVCC=<nvcc> -DROOT=<project> -DARCHITECTURES=75,120 -DWORK=<scratch folder> -DFILES=a.cu,b.cu -P nvcc_compiles.cmake
string(REPLACE "," ";" files ${FILES})
string(REPLACE "," ";" architectures ${ARCHITECTURES})
set(codes)
foreach(architecture ${architectures})
  list(APPEND codes -gencode arch=compute_${architecture},code=sm_${architecture})
endforeach()
file(MAKE_DIRECTORY ${WORK})
foreach(file ${files})
  get_filename_component(name ${file} NAME_WE)
  execute_process(COMMAND ${NVCC} -std=c++20 ${codes} -t 2 -I${ROOT} -I${ROOT}/include -Xcompiler -Wall,-Wextra,-Werror -Werror all-warnings
                          -c ${file} -o ${WORK}/${name}.o COMMAND_ERROR_IS_FATAL ANY)
endforeach()
