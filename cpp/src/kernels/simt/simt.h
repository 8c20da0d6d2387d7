// What kernels for GPUs are written with. nvcc compiles the same source for the device (simt_cuda.h) that a C++
// compiler takes for the host (simt_host.h), where the threads of a block are fibers and sanitizers see every access.
//
//   SIMT_KERNEL name(const float* x, ...) {...}   a kernel; its parameters are plain values and pointers
//   SIMT_DEVICE float f(float x) {...}            a function that kernels call
//   SIMT_HOST_DEVICE float f(float x) {...}       one that the host calls, too
//   SIMT_SHARED(float, tile, 64);                 float tile[64], one for all threads of a block
//   dynamic_shared<float>()                       Grid::shared_bytes more of it
//   launch("name", name, {blocks, threads}, arguments...)
//
// With them, those names of CUDA's that simt_host.h has: threadIdx, __syncthreads, atomicAdd and the like. Deliberately
// not: CUB, cooperative groups and inline PTX, which only a GPU runs; CUDA's own min and max, which treat NaN in
// another way than std::min and std::max do.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace d2deploy::simt {

constexpr unsigned kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFU;
constexpr unsigned kMostThreads = 1024;  // of a block
constexpr std::size_t kMostSharedBytes = std::size_t{48}
                                         << 10;  // of a block; more has to be asked for, device by device

}  // namespace d2deploy::simt

#ifdef __CUDACC__
#include "kernels/simt/simt_cuda.h"
#else
#include "kernels/simt/simt_host.h"
#endif

namespace d2deploy::simt {

/// Blocks for a loop over `count` items that all threads of the grid share.
inline unsigned blocks_for(std::int64_t count, unsigned threads) {
  constexpr std::int64_t kMostBlocks = 16384;  // keeps any device busy; threads take several items beyond
  return static_cast<unsigned>(std::clamp<std::int64_t>((count + threads - 1) / threads, 1, kMostBlocks));
}

/// The first item of the calling thread in such a loop, and the step to its next one.
SIMT_DEVICE inline std::int64_t first_item() { return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
SIMT_DEVICE inline std::int64_t item_step() { return std::int64_t{gridDim.x} * blockDim.x; }

}  // namespace d2deploy::simt
