#include "operators/own_class_conv/own_class_conv.h"

#include <algorithm>

#include "core/threads.h"

namespace d2deploy {

namespace {

template <class T>
struct Row {
  const T* x;      // channels x cells
  const float* w;  // the filter
  float b;
  float* y;
};

template <class T>
void row_major(const Row<T>& row, std::int64_t channels, std::int64_t cells) {
  std::fill_n(row.y, cells, row.b);
  for (std::int64_t k = 0; k < channels; ++k)
    for (std::int64_t i = 0; i < cells; ++i) row.y[i] += static_cast<float>(row.x[k * cells + i]) * row.w[k];
}

// A sum is kept in partial sums (channel k goes to lane k % kLanes), which compilers turn into vector registers.
constexpr std::int64_t kLanes = 16;

template <class T>
float dot(const T* x, const float* w, std::int64_t count) {
  float lanes[kLanes] = {};
  std::int64_t k = 0;
  for (; k + kLanes <= count; k += kLanes)
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] += static_cast<float>(x[k + l]) * w[k + l];
  for (std::int64_t l = 0; k + l < count; ++l) lanes[l] += static_cast<float>(x[k + l]) * w[k + l];
  for (std::int64_t width = kLanes / 2; width > 0; width /= 2)
    for (std::int64_t l = 0; l < width; ++l) lanes[l] += lanes[l + width];
  return lanes[0];
}

template <class T>
void channels_last(const Row<T>& row, std::int64_t channels, std::int64_t cells) {
  for (std::int64_t i = 0; i < cells; ++i) row.y[i] = row.b + dot(row.x + i * channels, row.w, channels);
}

// W has one layout only: its filters are of one cell.
template <class T>
void run(const NoParams&, const Call& call) {
  const Tensor& x = call.input(0);
  const std::int64_t rows = x.dim(0), channels = x.dim(1), cells = x.dim(2) * x.dim(3), classes = call.input(2).dim(0);
  check_class_of_each_row("OwnClassConv", call);
  const T* values = call.in<T>(0);
  const float *labels = call.in<float>(1), *w = call.in<float>(2), *b = call.in<float>(3);
  float* y = call.out<float>(0);
  auto* const one_row = x.layout() == Layout::channels_last ? channels_last<T> : row_major<T>;
  constexpr std::int64_t kGrain = 1 << 16;  // multiplications
  parallel_for(rows, kGrain / (channels * cells + 1) + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t label = own_class("OwnClassConv", labels[r], r, classes);
      one_row({values + r * channels * cells, w + label * channels, b[label], y + r * cells}, channels, cells);
    }
  });
}

}  // namespace

template <>
Kernels<OwnClassConv> kernels<OwnClassConv, Backend::cpu>() {
  const auto for_type = [](const char* name, void (*run)(const NoParams&, const Call&), DType real) {
    KernelOf<NoParams> kernel{name, accepts_all<OwnClassConv>, run};
    kernel.real = real;
    return kernel;
  };
  return {for_type("dot_bf16", run<BFloat16>, DType::bfloat16), for_type("dot_f32", run<float>, DType::float32)};
}

}  // namespace d2deploy
