# NVIDIA's compiler and libraries. The everyday build has code for one architecture and PTX, from which the driver makes
# code for newer ones; the full one has code for each.
option(MINIPARALLEL_CUDA_ALL_ARCHITECTURES "Compile for every supported GPU architecture" OFF)
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(CMAKE_CUDA_COMPILER nvcc PATHS /usr/local/cuda/bin REQUIRED)
endif()
if(MINIPARALLEL_CUDA_ALL_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90-real 100-real 120)
elseif(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 75)
endif()
enable_language(CUDA)
find_package(CUDAToolkit 13.0 REQUIRED)
if(CCACHE AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

function(miniparallel_use_cuda target)
  # The standard by its flag: CMake knows it for nvcc from 3.26 on only. --expt-relaxed-constexpr: std::bit_cast and
  # std::numeric_limits in device code.
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20 --expt-relaxed-constexpr
    $<$<BOOL:${MINIPARALLEL_WERROR}>:-Werror=all-warnings -Xptxas=-warn-spills,-Werror>>)
  target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(${target} PRIVATE CUDA::cudart_static CUDA::cublas CUDA::cublasLt ${CMAKE_DL_LIBS})
endfunction()
