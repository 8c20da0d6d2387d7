#include <cmath>

#include "operators/device_call.h"
#include "operators/layer_norm/layer_norm.h"

namespace d2deploy {

namespace {

using namespace simt;

struct Job {
  const float *x, *gamma, *beta;  // gamma and beta may be null
  float *y, *mean, *deviation;    // mean and deviation too
  DeviceRows rows;
  std::int64_t norms_per_row, length;
  double epsilon;
};

SIMT_DEVICE double warp_sum(double v) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) v += __shfl_xor_sync(kAllLanes, v, lanes);
  return v;
}

// Each row has a warp. Sums are in float64, and the variance is that of differences, as on the CPU. y may be x: a
// thread reads and writes its own numbers alone.
SIMT_KERNEL normalise(Job job) {
  const std::int64_t n = job.length, warps = blockDim.x / kWarp, count = job.rows.count() * job.norms_per_row;
  const unsigned lane = threadIdx.x % kWarp;
  for (std::int64_t row = blockIdx.x * warps + threadIdx.x / kWarp; row < count; row += gridDim.x * warps) {
    const float* x = job.x + row * n;
    float* y = job.y + row * n;
    double sum = 0, squares = 0;
    for (std::int64_t i = lane; i < n; i += kWarp) sum += static_cast<double>(x[i]);
    const double mean = warp_sum(sum) / static_cast<double>(n);
    for (std::int64_t i = lane; i < n; i += kWarp) {
      const double difference = static_cast<double>(x[i]) - mean;
      squares += difference * difference;
    }
    const double deviation = sqrt(warp_sum(squares) / static_cast<double>(n) + job.epsilon);
    const auto shift = static_cast<float>(mean), scale = static_cast<float>(1 / deviation);
    const auto rest = static_cast<float>(mean - static_cast<double>(shift));
    for (std::int64_t i = lane; i < n; i += kWarp) {
      const float normal = (x[i] - shift - rest) * scale;
      y[i] = job.gamma == nullptr ? normal : normal * job.gamma[i] + job.beta[i];
    }
    if (lane == 0 && job.mean != nullptr) job.mean[row] = shift;
    if (lane == 0 && job.deviation != nullptr) job.deviation[row] = static_cast<float>(deviation);
  }
}

void run(const LayerNorm::Params& p, const Call& call) {
  const Shape& x = call.input(0).shape();
  const auto [norms, length] = LayerNormRows::of(p, x);
  if (norms == 0) return;
  const bool over_rows = canonical_axis("LayerNorm", p.axis, x.rank()) == 0;
  const Job job{device_in<float>(call, 0),
                p.elementwise_affine ? device_in<float>(call, 1) : nullptr,
                p.elementwise_affine ? device_in<float>(call, 2) : nullptr,
                device_out<float>(call, 0),
                device_out<float>(call, 1),
                device_out<float>(call, 2),
                over_rows ? DeviceRows{1} : rows_of_input(call, 0),
                over_rows ? 1 : norms / x[0],
                length,
                static_cast<double>(p.epsilon)};
  constexpr unsigned kThreads = 256;
  launch("LayerNorm", normalise, {blocks_for(norms, kThreads / kWarp), kThreads, 0, stream_of(call)}, job);
}

std::string reject(const LayerNorm::Params& p, const CallSite& site) {
  const bool over_rows = canonical_axis("LayerNorm", p.axis, site.inputs[0].shape.rank()) == 0;
  return site.bounded && over_rows ? "the sums are over rows, of which the run finds how many" : "";
}

}  // namespace

template <>
Kernels<LayerNorm> kernels<LayerNorm, Backend::cuda>() {
  return {{"warps_f32", reject, run}};
}

}  // namespace d2deploy
