# Kernels for NVIDIA GPUs, the files *_cuda.cu: what compiles them is told by D2DEPLOY_CUDA.
if(NOT D2DEPLOY_CUDA MATCHES "^(OFF|ON|EMULATED)$")
  message(FATAL_ERROR "D2DEPLOY_CUDA is '${D2DEPLOY_CUDA}', must be OFF, ON or EMULATED")
endif()

if(D2DEPLOY_CUDA STREQUAL "ON")
  # CUDA and the headers of cuDNN as packages of Python (scripts/setup --cuda), or as a toolkit of the system.
  set(packages)
  foreach(prefix IN LISTS CMAKE_PREFIX_PATH ITEMS "${PROJECT_SOURCE_DIR}/.venv")
    file(GLOB found LIST_DIRECTORIES true "${prefix}/lib/python3*/site-packages/nvidia")
    list(APPEND packages ${found})
  endforeach()
  find_program(D2DEPLOY_NVCC nvcc HINTS ${packages} PATH_SUFFIXES cu13/bin PATHS /usr/local/cuda/bin)
  find_path(D2DEPLOY_CUDNN_INCLUDE cudnn.h HINTS ${packages} PATH_SUFFIXES cudnn/include)
  if(NOT D2DEPLOY_NVCC OR NOT D2DEPLOY_CUDNN_INCLUDE)
    message(FATAL_ERROR "D2DEPLOY_CUDA is ON, but there is no nvcc (${D2DEPLOY_NVCC}), or no header of cuDNN "
      "(${D2DEPLOY_CUDNN_INCLUDE}). Run scripts/setup --cuda, or install CUDA 13 and cuDNN 9 and tell where they are: "
      "-DD2DEPLOY_NVCC=/path/bin/nvcc -DD2DEPLOY_CUDNN_INCLUDE=/path/include")
  endif()
  # The package has the library beside the headers: dlopen looks into the RUNPATH of the library that calls it.
  cmake_path(SET cudnn_folder NORMALIZE "${D2DEPLOY_CUDNN_INCLUDE}/../lib")
  if(EXISTS "${cudnn_folder}/libcudnn.so.9")
    list(APPEND CMAKE_BUILD_RPATH "${cudnn_folder}")
  else()
    unset(cudnn_folder)
  endif()
  set(CMAKE_CUDA_COMPILER "${D2DEPLOY_NVCC}")
  cmake_path(GET D2DEPLOY_NVCC PARENT_PATH cuda_root)
  cmake_path(GET cuda_root PARENT_PATH cuda_root)
  if(EXISTS "${cuda_root}/lib/libcudart_static.a") # packages have lib, where nvcc looks into lib64
    set(CMAKE_CUDA_FLAGS_INIT "-L${cuda_root}/lib")
    set(CUDAToolkit_ROOT "${cuda_root}")
  endif()
  # Turing to Blackwell, and for what comes later code that the driver compiles.
  if(NOT DEFINED ENV{CUDAARCHS})
    set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90-real 100-real 120-real 120-virtual CACHE STRING
      "GPUs to compile for")
  endif()
  set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  enable_language(CUDA)
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # CMake 3.25 does not know that nvcc 12 and later has C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
  endif()
  # Only the compiler's check needs the folder of libraries, and "-isystem=" is written as ccache knows it: what remains
  # of paths in the command is below the root (scripts/common.sh).
  set(CMAKE_CUDA_FLAGS "")
  set(CMAKE_INCLUDE_SYSTEM_FLAG_CUDA "-isystem ")
  find_library(D2DEPLOY_CUDART cudart_static HINTS "${cuda_root}/lib" "${cuda_root}/lib64" REQUIRED NO_CACHE)
  set(D2DEPLOY_CUDA_INCLUDE "${cuda_root}/include")
endif()

# d2deploy_cuda_sources(<target> <file>.cu...): what compiles the target's kernels for GPUs.
function(d2deploy_cuda_sources target)
  if(D2DEPLOY_CUDA STREQUAL "ON")
    # As for the CPU: a product and a sum are rounded twice (cpp/src/CMakeLists.txt).
    set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES LANGUAGE CUDA
      COMPILE_OPTIONS "--fmad=false;--expt-relaxed-constexpr;--expt-extended-lambda;-Xcompiler=-Wall,-Wextra")
  else()
    set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES LANGUAGE CXX)
  endif()
endfunction()

# d2deploy_cuda_device(<target>): NVIDIA GPUs. The CUDA runtime is linked, cuDNN opened when it is asked for.
function(d2deploy_cuda_device target)
  target_sources(${target} PRIVATE core/device_cuda.cpp kernels/cudnn/conv.cpp kernels/cudnn/library.cpp)
  set_source_files_properties(core/device.cpp PROPERTIES COMPILE_DEFINITIONS D2DEPLOY_CUDA)
  target_include_directories(${target} SYSTEM PRIVATE "${D2DEPLOY_CUDA_INCLUDE}" "${D2DEPLOY_CUDNN_INCLUDE}")
  target_link_libraries(${target} PRIVATE "${D2DEPLOY_CUDART}" Threads::Threads ${CMAKE_DL_LIBS} rt)
endfunction()

# d2deploy_emulated_device(<target>): the device that runs kernels on the host (kernels/simt).
# ThreadSanitizer has to take the scheduler's fibers for threads, so the scheduler itself is compiled without it, and
# optimised: no function of it may be left for the linker to replace by an instrumented one of the same name.
function(d2deploy_emulated_device target)
  set(scheduler kernels/simt/fiber.cpp kernels/simt/simt_host.cpp)
  target_sources(${target} PRIVATE core/device_emulated.cpp kernels/cudnn/conv_emulated.cpp ${scheduler})
  set_source_files_properties(${scheduler} PROPERTIES SKIP_PRECOMPILE_HEADERS ON) # made with the sanitizer
  set_source_files_properties(core/device.cpp PROPERTIES COMPILE_DEFINITIONS D2DEPLOY_CUDA)
  if(D2DEPLOY_SANITIZE MATCHES "thread")
    set_source_files_properties(${scheduler} PROPERTIES COMPILE_OPTIONS "-fno-sanitize=thread;-O2"
      COMPILE_DEFINITIONS D2DEPLOY_SIMT_TSAN)
  elseif(D2DEPLOY_SANITIZE MATCHES "address")
    set_source_files_properties(${scheduler} PROPERTIES COMPILE_DEFINITIONS D2DEPLOY_SIMT_ASAN)
  endif()
endfunction()
