# Kernels for NVIDIA GPUs, the files *_cuda.cu: what compiles them is told by D2DEPLOY_CUDA.
if(D2DEPLOY_CUDA STREQUAL "ON")
  message(FATAL_ERROR "D2DEPLOY_CUDA is ON, but there is no build for GPUs yet. Either: -DD2DEPLOY_CUDA=OFF, or: "
                      "-DD2DEPLOY_CUDA=EMULATED, which runs the kernels for GPUs on the host, for tests")
elseif(NOT D2DEPLOY_CUDA MATCHES "^(OFF|EMULATED)$")
  message(FATAL_ERROR "D2DEPLOY_CUDA is '${D2DEPLOY_CUDA}', must be OFF or EMULATED")
endif()

# d2deploy_cuda_sources(<target> <file>.cu...): what compiles the target's kernels for GPUs.
function(d2deploy_cuda_sources target)
  set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES LANGUAGE CXX)
endfunction()

# d2deploy_emulated_device(<target>): the device that runs kernels on the host (kernels/simt).
# ThreadSanitizer has to take the scheduler's fibers for threads, so the scheduler itself is compiled without it, and
# optimised: no function of it may be left for the linker to replace by an instrumented one of the same name.
function(d2deploy_emulated_device target)
  set(scheduler kernels/simt/fiber.cpp kernels/simt/simt_host.cpp)
  target_sources(${target} PRIVATE core/device_emulated.cpp ${scheduler})
  set_source_files_properties(${scheduler} PROPERTIES SKIP_PRECOMPILE_HEADERS ON) # made with the sanitizer
  set_source_files_properties(core/device.cpp PROPERTIES COMPILE_DEFINITIONS D2DEPLOY_CUDA)
  if(D2DEPLOY_SANITIZE MATCHES "thread")
    set_source_files_properties(${scheduler} PROPERTIES COMPILE_OPTIONS "-fno-sanitize=thread;-O2"
      COMPILE_DEFINITIONS D2DEPLOY_SIMT_TSAN)
  elseif(D2DEPLOY_SANITIZE MATCHES "address")
    set_source_files_properties(${scheduler} PROPERTIES COMPILE_DEFINITIONS D2DEPLOY_SIMT_ASAN)
  endif()
endfunction()
