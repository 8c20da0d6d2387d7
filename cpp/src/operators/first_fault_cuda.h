// Looking for the first thing that is wrong with data on a GPU.
#pragma once
#include "operators/device_call.h"

namespace d2deploy {

namespace simt {

// One block.
template <class Job>
SIMT_KERNEL find_first_fault(Job job, DeviceFault* fault) {
  using Place = unsigned long long;
  SIMT_SHARED(Place, first, 1);
  constexpr Place kNone = ~Place{0};
  if (threadIdx.x == 0) first[0] = kNone;
  __syncthreads();
  const std::int64_t count = job.places();
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x)
    if (job.is_fault(i)) atomicMin(&first[0], static_cast<Place>(i));
  __syncthreads();
  if (threadIdx.x == 0 && first[0] != kNone) *fault = job.fault(static_cast<std::int64_t>(first[0]));
}

}  // namespace simt

/// Writes job.fault(i) for the first i below job.places() for which job.is_fault(i), if there is one.
template <class Job>
void launch_find_first_fault(const char* name, const Call& call, const Job& job) {
  simt::launch(name, simt::find_first_fault<Job>, {1, simt::kMostThreads, 0, stream_of(call)}, job, call.fault);
}

}  // namespace d2deploy
