#include "kernels/simt/element.h"
#include "kernels/simt/index.h"
#include "operators/device_call.h"
#include "operators/normalise_image/normalise_image.h"

namespace d2deploy {

namespace {

using namespace simt;

template <class T>
struct Job {
  const float *x, *mean, *std;
  T* y;
  std::int64_t pixels, channels, plane;  // pixels: of all images

  SIMT_DEVICE T normalised(float v, std::int64_t c) const { return from_float<T>((v - mean[c]) / std[c]); }
};

// A thread per pixel: pictures have few channels.
template <class T>
SIMT_KERNEL normalise_planes(Job<T> job) {
  for (std::int64_t i = first_item(); i < job.pixels; i += item_step()) {
    const std::int64_t image = quotient(i, job.plane);
    const float* x = job.x + image * (job.channels - 1) * job.plane + i;
    T* y = job.y + i * job.channels;
    for (std::int64_t c = 0; c < job.channels; ++c) y[c] = job.normalised(x[c * job.plane], c);
  }
}

// Of pictures that are channels-last already.
template <class T>
SIMT_KERNEL normalise_cells(Job<T> job) {
  for (std::int64_t i = first_item(); i < job.pixels * job.channels; i += item_step())
    job.y[i] = job.normalised(job.x[i], i - quotient(i, job.channels) * job.channels);
}

void run(const NormaliseImage::Params&, const Call& call) {
  const Tensor& x = call.input(0);
  if (x.size() == 0) return;
  constexpr unsigned kThreads = 256;
  with_real_type(call.output(0).dtype(), [&]<class T>(T) {
    const std::int64_t plane = x.dim(2) * x.dim(3);
    const Job<T> job{device_in<float>(call, 0),
                     device_in<float>(call, 1),
                     device_in<float>(call, 2),
                     device_out<T>(call, 0),
                     x.dim(0) * plane,
                     x.dim(1),
                     plane};
    const bool last = x.layout() == Layout::channels_last;
    launch("NormaliseImage", last ? normalise_cells<T> : normalise_planes<T>,
           {blocks_for(last ? x.size() : job.pixels, kThreads), kThreads, 0, stream_of(call)}, job);
  });
}

}  // namespace

template <>
Kernels<NormaliseImage> kernels<NormaliseImage, Backend::cuda>() {
  return {{"pixels", accepts_all<NormaliseImage>, run}};
}

}  // namespace d2deploy
