#include "operators/point_sample/point_sample.h"

#include "core/threads.h"
#include "kernels/deform.h"
#include "operators/point_sample/place_on_map.h"
#include "operators/roi_align/pooling.h"

namespace d2deploy {

namespace {

// The boxes of a call; without them each row has an image of its own.
struct Rois {
  const float* data = nullptr;
  std::int64_t columns = 0;

  bool given() const { return data != nullptr; }
  float stored_image(std::int64_t row) const { return columns == 5 ? data[row * columns] : 0.0F; }
  Box box(std::int64_t row) const { return load_box(data + (row + 1) * columns - 4); }
};

// A point is a bin with one sample, so that RoIAlign's loops over channels serve.
template <class T>
void run_typed(const PointSample::Params& p, const Call& call) {
  const Tensor &x = call.input(0), &points = call.input(1);
  Tensor& y = call.output(0);
  Rois rois;
  if (call.has_input(2)) rois = {call.in<float>(2), call.input(2).dim(1)};
  const std::int64_t rows = call.input(rois.given() ? 2 : 0).dim(0), count = points.dim(1);
  PointSample::check_rows(points.dim(0), rows);
  const FeatureMap<T> map = feature_map<T>(x, y, p.spatial_scale);
  const auto image_of = [&](std::int64_t row) {
    return rois.given() ? image_index("PointSample", row, rois.stored_image(row), map.images) : row;
  };
  for (std::int64_t row = 0; row < rows; ++row) (void)image_of(row);
  if (y.size() == 0) return;
  const Strides4 to = strides4(y.type());
  const PoolBin<T> pool_bin = portable_pool_bin<T>(map.stride_c == 1 && to.c == 1);
  const float* first = call.in<float>(1);
  const std::int64_t step = points.dim(0) == 1 ? 0 : count * 2;
  T* out = call.out<T>(0);
  constexpr std::int64_t kGrain = 1 << 13;  // elements of Y
  parallel_for(rows * count, kGrain / (map.channels + 1) + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / count, k = i % count;
      const float* point = first + row * step + k * 2;
      const PlaceOnMap at =
          rois.given() ? place_on_map(point, rois.box(row), map.scale) : place_on_map(point, map.height, map.width);
      const auto down = cells_around(at.y, map.height, true), across = cells_around(at.x, map.width, true);
      T* cell = out + row * to.n + k / p.width * to.h + k % p.width * to.w;
      pool_bin(map, map.data + image_of(row) * map.stride_n, {down.weights, down.first, down.count},
               {across.weights, across.first, across.count}, cell, to.c);
    }
  });
}

}  // namespace

template <>
Kernels<PointSample> kernels<PointSample, Backend::cpu>() {
  const auto for_type = [](const char* name, DType real, void (*run)(const PointSample::Params&, const Call&)) {
    KernelOf<PointSample::Params> kernel{name, accepts_all<PointSample>, run};
    kernel.real = real;
    return kernel;
  };
  return {for_type("points_bf16", DType::bfloat16, run_typed<BFloat16>),
          for_type("points_int8", DType::int8,
                   [](const PointSample::Params& p, const Call& call) {
                     call.output(0).dtype() == DType::int8 ? run_typed<std::int8_t>(p, call)
                                                           : run_typed<std::uint8_t>(p, call);
                   }),
          for_type("points_f32", DType::float32, run_typed<float>)};
}

}  // namespace d2deploy
