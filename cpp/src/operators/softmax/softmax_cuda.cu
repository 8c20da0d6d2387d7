#include "kernels/exp.h"
#include "operators/device_call.h"
#include "operators/softmax/softmax.h"

namespace d2deploy {

namespace {

using namespace simt;

// Rows of the sum, which are not the tensor's where those are summed over.
struct Job {
  const float* x;
  float* y;
  DeviceRows rows;
  std::int64_t sums_per_row, columns;
  bool over_rows;  // one sum, over all rows

  SIMT_DEVICE std::int64_t count() const { return over_rows ? 1 : rows.count() * sums_per_row; }
  SIMT_DEVICE std::int64_t length() const { return over_rows ? rows.count() * columns : columns; }
};

// The largest number; NaN does not matter, as it spoils the sum.
SIMT_DEVICE float larger(float a, float b) { return b > a ? b : a; }

SIMT_DEVICE float warp_max(float v) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) v = larger(v, __shfl_xor_sync(kAllLanes, v, lanes));
  return v;
}
// In float64: thousands of small terms beside a large one.
SIMT_DEVICE double warp_sum(double v) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) v += __shfl_xor_sync(kAllLanes, v, lanes);
  return v;
}

// y = exp(x - max x) / sum of exp(x - max x) of `n` numbers, by the threads `first`, first + step, ... of a group, for
// which `max_of` and `sum_of` reduce. y may be x: a thread reads and writes its own numbers alone.
template <class Max, class Sum>
SIMT_DEVICE void softmax(const float* x, float* y, std::int64_t n, unsigned first, unsigned step, const Max& max_of,
                         const Sum& sum_of) {
  float most = -INFINITY;
  for (std::int64_t i = first; i < n; i += step) most = larger(most, x[i]);
  most = max_of(most);
  double sum = 0;
  for (std::int64_t i = first; i < n; i += step) {
    const float e = exp_of_minus_abs(x[i] - most);
    sum += static_cast<double>(e);
    y[i] = e;
  }
  const auto scale = static_cast<float>(1 / sum_of(sum));
  for (std::int64_t i = first; i < n; i += step) y[i] *= scale;
}

// Short rows: each has a warp.
SIMT_KERNEL softmax_by_warps(Job job) {
  const std::int64_t n = job.length(), warps = blockDim.x / kWarp;
  for (std::int64_t row = blockIdx.x * warps + threadIdx.x / kWarp; row < job.count(); row += gridDim.x * warps)
    softmax(job.x + row * n, job.y + row * n, n, threadIdx.x % kWarp, kWarp, warp_max, warp_sum);
}

// What f makes of one value per warp of the block, for all threads.
template <class T, class F>
SIMT_DEVICE T block_reduce(T v, T none, const F& f) {
  SIMT_SHARED(T, of_warp, kWarp);
  v = f(v);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = v;
  __syncthreads();
  v = f(threadIdx.x % kWarp < blockDim.x / kWarp ? of_warp[threadIdx.x % kWarp] : none);
  __syncthreads();  // the next call writes it again
  return v;
}

// Long rows: each has a block.
SIMT_KERNEL softmax_by_blocks(Job job) {
  const std::int64_t n = job.length();
  const auto max_of = [](float v) { return block_reduce(v, -INFINITY, warp_max); };
  const auto sum_of = [](double v) { return block_reduce(v, 0.0, warp_sum); };
  for (std::int64_t row = blockIdx.x; row < job.count(); row += gridDim.x)
    softmax(job.x + row * n, job.y + row * n, n, threadIdx.x, blockDim.x, max_of, sum_of);
}

void run(const Softmax::Params& p, const Call& call) {
  const Shape& shape = call.input(0).shape();
  if (shape.size() == 0) return;
  const auto axis = canonical_axis("Softmax", p.axis, shape.rank());
  const bool over_rows = axis == 0;
  const Job job{device_in<float>(call, 0),
                device_out<float>(call, 0),
                rows_of_input(call, 0),
                over_rows ? 1 : shape.size(1, axis),
                shape.size(over_rows ? 1 : axis, shape.rank()),
                over_rows};
  constexpr unsigned kThreads = 256, kLong = 2048;
  const std::int64_t sums = over_rows ? 1 : shape.size(0, axis), length = shape.size() / sums;
  const bool by_blocks = length > kLong;
  const unsigned blocks = blocks_for(sums, by_blocks ? 1 : kThreads / kWarp);
  launch("Softmax", by_blocks ? softmax_by_blocks : softmax_by_warps, {blocks, kThreads, 0, stream_of(call)}, job);
}

}  // namespace

template <>
Kernels<Softmax> kernels<Softmax, Backend::cuda>() {
  return {{"rows_f32", accepts_all<Softmax>, run}};
}

}  // namespace d2deploy
