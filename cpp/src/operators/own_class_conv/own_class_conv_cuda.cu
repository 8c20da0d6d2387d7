#include "core/element_type.h"
#include "kernels/simt/element.h"
#include "kernels/simt/first_row.h"
#include "operators/device_call.h"
#include "operators/own_class_conv/own_class_conv.h"

namespace d2deploy {

namespace {

using namespace simt;

constexpr unsigned kThreads = 256;
constexpr unsigned kLanes = 8;  // that share a cell: several cells a warp keep more reads under way than one

template <class T>
struct Job {
  const T* x;
  const float *classes, *w, *b;
  DeviceRows rows;
  std::int64_t channels, cells, class_count;
  float* y;
  DeviceFault* fault;

  SIMT_DEVICE bool is_class(float value) const { return value >= 0 && value < static_cast<float>(class_count); }
};

// The first row whose class is none. For all threads of one block.
template <class T>
SIMT_DEVICE void find_fault(const Job<T>& job) {
  const std::int64_t row = first_row(job.rows.count(), [&](std::int64_t i) { return !job.is_class(job.classes[i]); });
  if (row >= 0 && threadIdx.x == 0) *job.fault = {1, row, job.classes[row]};
}

// The part of a cell's dot product that a lane has, in steps of 16 bytes.
template <class T>
SIMT_DEVICE float part_of_dot(const T* x, const float* w, int channels, int lane) {
  using V = Vector<T>;
  float sum = 0;
  for (int k = lane * V::kSize; k < channels; k += static_cast<int>(kLanes) * V::kSize) {
    const V values = *reinterpret_cast<const V*>(x + k);
    for (int i = 0; i < V::kSize; ++i) sum += to_float(values.values[i]) * w[k + i];
  }
  return sum;
}

// Channels last: kLanes neighbouring threads share a cell. Blocks (rows, parts of the cells); a filter is in memory of
// the block. `vectors`: channels are whole steps of 16 bytes.
template <class T>
SIMT_KERNEL dot_of_lanes(Job<T> job, bool vectors) {
  if (blockIdx.x == 0 && blockIdx.y == 0) find_fault(job);
  const std::int64_t row = blockIdx.x;
  if (row >= job.rows.count()) return;
  const float label = job.classes[row];
  if (!job.is_class(label)) return;  // a fault
  const auto own = static_cast<std::int64_t>(label);
  const auto channels = static_cast<int>(job.channels);
  auto* w = dynamic_shared<float>();
  for (int k = static_cast<int>(threadIdx.x); k < channels; k += static_cast<int>(blockDim.x))
    w[k] = job.w[own * job.channels + k];
  __syncthreads();
  const auto lane = static_cast<int>(threadIdx.x % kLanes);
  const std::int64_t step = std::int64_t{gridDim.y} * (blockDim.x / kLanes);
  const std::int64_t rounded = (job.cells + step - 1) / step * step;  // all lanes of a warp stay until the end
  for (std::int64_t i = blockIdx.y * (blockDim.x / kLanes) + threadIdx.x / kLanes; i < rounded; i += step) {
    const T* x = job.x + (row * job.cells + std::min<std::int64_t>(i, job.cells - 1)) * channels;
    float sum = 0;
    if (vectors)
      sum = part_of_dot(x, w, channels, lane);
    else
      for (int k = lane; k < channels; k += static_cast<int>(kLanes)) sum += to_float(x[k]) * w[k];
    for (int lanes = static_cast<int>(kLanes) / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(kAllLanes, sum, lanes);
    if (lane == 0 && i < job.cells) job.y[row * job.cells + i] = job.b[own] + sum;
  }
}

// Row-major: a thread takes a cell, so that neighbours read neighbours. Blocks (rows, parts of the cells).
template <class T>
SIMT_KERNEL dot_of_thread(Job<T> job) {
  if (blockIdx.x == 0 && blockIdx.y == 0) find_fault(job);
  const std::int64_t row = blockIdx.x;
  if (row >= job.rows.count()) return;
  const float label = job.classes[row];
  if (!job.is_class(label)) return;  // a fault
  const float* w = job.w + static_cast<std::int64_t>(label) * job.channels;
  const T* x = job.x + row * job.channels * job.cells;
  for (std::int64_t i = std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x; i < job.cells;
       i += std::int64_t{gridDim.y} * blockDim.x) {
    float sum = job.b[static_cast<std::int64_t>(label)];
    for (std::int64_t k = 0; k < job.channels; ++k) sum += to_float(x[k * job.cells + i]) * w[k];
    job.y[row * job.cells + i] = sum;
  }
}

constexpr std::int64_t kMostShared =
    kMostSharedBytes / 2 / sizeof(float);  // channels of a filter in the block's memory

template <class T>
void launch_for(const Call& call) {
  const Tensor& x = call.input(0);
  check_class_of_each_row("OwnClassConv", call);
  const Job<T> job{device_in<T>(call, 0),      device_in<float>(call, 1),
                   device_in<float>(call, 2),  device_in<float>(call, 3),
                   rows_of_input(call, 0),     x.dim(1),
                   x.dim(2) * x.dim(3),        call.input(2).dim(0),
                   device_out<float>(call, 0), call.fault};
  if (job.rows.most == 0) return;
  const auto rows = static_cast<unsigned>(job.rows.most);
  const auto parts = [](std::int64_t cells, std::int64_t each) {
    return static_cast<unsigned>(std::clamp<std::int64_t>((cells + each - 1) / each, 1, 64));
  };
  if (x.layout() != Layout::channels_last) {
    launch("OwnClassConv", dot_of_thread<T>, {{rows, parts(job.cells, kThreads)}, kThreads, 0, stream_of(call)}, job);
    return;
  }
  constexpr std::int64_t kRounds = 4;  // cells for which a block uses its copy of the filter
  const bool vectors =
      job.channels % Vector<T>::kSize == 0 && reinterpret_cast<std::uintptr_t>(job.x) % sizeof(Vector<T>) == 0;
  launch("OwnClassConv", dot_of_lanes<T>,
         {{rows, parts(job.cells, kThreads / kLanes * kRounds)},
          kThreads,
          static_cast<std::size_t>(job.channels) * sizeof(float),
          stream_of(call)},
         job, vectors);
}

void run(const NoParams&, const Call& call) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) { launch_for<T>(call); });
}

std::string reject(const NoParams&, const CallSite& site) {
  const Shape& x = site.inputs[0].shape;
  if (x[0] > INT32_MAX) return "takes at most 2^31 - 1 rows";
  return x[1] <= kMostShared ? "" : join("takes at most ", kMostShared, " channels");
}

void report(const NoParams&, const CallSite& site, const DeviceFault& fault) {
  (void)own_class("OwnClassConv", static_cast<float>(fault.found), fault.row, site.inputs[2].shape[0]);
}

}  // namespace

template <>
Kernels<OwnClassConv> kernels<OwnClassConv, Backend::cuda>() {
  return {{.name = "dot", .reject = reject, .run = run, .report = report, .takes = Takes::any_real}};
}

}  // namespace d2deploy
