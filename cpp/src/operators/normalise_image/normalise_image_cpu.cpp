#include <algorithm>

#include "core/threads.h"
#include "operators/normalise_image/normalise_image.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kBlock = 512;  // pixels of a part: a few channels of them stay in the cache

struct Picture {
  const float* x;  // the part's first pixel in the first plane
  std::int64_t channels, plane;
  const float *mean, *std;
};

// y[i][c] = (x[c][i] - mean[c]) / std[c]. Channel by channel, and those of a pixel are put together afterwards:
// compilers make vectors of both loops. `known` is the number of channels where it is not 0.
template <int known, class T>
void normalise(const Picture& p, std::int64_t pixels, T* y) {
  constexpr std::int64_t most = known == 0 ? 1 : known;
  const std::int64_t channels = known == 0 ? p.channels : known;
  float values[most][kBlock];
  for (std::int64_t c = 0; c < channels; ++c) {
    const float mean = p.mean[c], std = p.std[c];
    const float* x = p.x + c * p.plane;
    float* row = values[known == 0 ? 0 : c];
    for (std::int64_t i = 0; i < pixels; ++i) row[i] = (x[i] - mean) / std;
    if constexpr (known == 0)
      for (std::int64_t i = 0; i < pixels; ++i) y[i * channels + c] = static_cast<T>(row[i]);
  }
  if constexpr (known != 0)
    for (std::int64_t i = 0; i < pixels; ++i)
      for (std::int64_t c = 0; c < known; ++c) y[i * known + c] = static_cast<T>(values[c][i]);
}

// Of a picture that is channels-last already.
template <class T>
void run_channels_last(const Call& call) {
  const std::int64_t channels = call.input(0).dim(1);
  const float *x = call.in<float>(0), *mean = call.in<float>(1), *std = call.in<float>(2);
  T* y = call.out<T>(0);
  parallel_for(call.input(0).size(), 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = static_cast<T>((x[i] - mean[i % channels]) / std[i % channels]);
  });
}

template <class T>
void run_as(const Call& call) {
  const Tensor& x = call.input(0);
  const std::int64_t channels = x.dim(1), plane = x.dim(2) * x.dim(3);
  if (x.size() == 0) return;
  if (x.layout() == Layout::channels_last) return run_channels_last<T>(call);
  const std::int64_t blocks = (plane + kBlock - 1) / kBlock;
  parallel_for(x.dim(0) * blocks, 1 + (1 << 14) / (channels * kBlock), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t first = b % blocks * kBlock, image = b / blocks * channels * plane;
      const Picture part{call.in<float>(0) + image + first, channels, plane, call.in<float>(1), call.in<float>(2)};
      T* y = call.out<T>(0) + image + first * channels;
      const std::int64_t pixels = std::min(kBlock, plane - first);
      channels == 3 ? normalise<3>(part, pixels, y) : normalise<0>(part, pixels, y);
    }
  });
}

void run(const NormaliseImage::Params&, const Call& call) {
  with_real_type(call.output(0).dtype(), [&]<class T>(T) { run_as<T>(call); });
}

}  // namespace

template <>
Kernels<NormaliseImage> kernels<NormaliseImage, Backend::cpu>() {
  return {{"blocks", accepts_all<NormaliseImage>, run}};
}

}  // namespace d2deploy
