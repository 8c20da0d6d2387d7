// simt.h for nvcc: CUDA's own names under ours.
#pragma once
#include <cuda_runtime.h>

#include <type_traits>

#include "core/check.h"

#define SIMT_KERNEL static __global__ void
#define SIMT_DEVICE __device__
#define SIMT_SHARED(T, name, count) __shared__ T name[count]

namespace d2deploy::simt {

using Stream = cudaStream_t;

struct Grid {
  dim3 blocks, threads;
  std::size_t shared_bytes = 0;
  Stream stream = nullptr;
};

inline void check_cuda(cudaError_t status, const char* what) {
  check<DeviceError>(status == cudaSuccess, what, ": ", cudaGetErrorString(status));
}

template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char simt_dynamic_shared[];
  return reinterpret_cast<T*>(simt_dynamic_shared);
}

template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), const Grid& grid, A&&... arguments) {
  static_assert((std::is_trivially_copyable_v<P> && ...), "a kernel's parameters are plain values and pointers");
  kernel<<<grid.blocks, grid.threads, grid.shared_bytes, grid.stream>>>(static_cast<P>(arguments)...);
  check_cuda(cudaGetLastError(), name);
}

}  // namespace d2deploy::simt
