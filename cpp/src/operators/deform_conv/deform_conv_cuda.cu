#include "operators/deform_conv/deform_conv_cuda.h"

#include "kernels/simt/deform.h"
#include "operators/conv_cuda.h"
#include "operators/deform_conv/deform_places.h"

namespace d2deploy::deform_conv_on_gpu {

namespace {

// Rows of columns that are made at once: enough to keep a GPU busy, and memory stays bounded.
constexpr std::int64_t kMostColumnBytes = std::int64_t{64} << 20;

std::int64_t places_at_once(const Shape& x, const Shape& w, const Shape& y) {
  const std::int64_t row = x[1] * w[2] * w[3] * std::int64_t{sizeof(float)}, places = y[0] * y[2] * y[3];
  return std::min(places, std::max<std::int64_t>(kMostColumnBytes / std::max<std::int64_t>(row, 1), simt::kTileSide));
}

template <class T, int kSize>
void launch_columns(const Call& call, const simt::DeformJob<T>& job) {
  constexpr std::int64_t kMostWarps = 16;
  const auto warps = static_cast<unsigned>(std::min(job.window.cells(), kMostWarps));
  const unsigned blocks = simt::blocks_for(job.count, 1);
  simt::launch("DeformConv: columns", simt::deform_columns<T, kSize, DeviceRows>,
               {{blocks}, warps * simt::kWarp, 0, stream_of(call)}, job, rows_of_input(call, 0));
}

template <class T>
void launch_some(const Call& call, const simt::DeformJob<T>& job, const simt::DeformFilters& filters,
                 const simt::ConvOutput<T, T>& output) {
  constexpr int kSize = simt::Vector<T>::kSize;
  if (call.input(0).layout() == Layout::channels_last && job.of_offset % kSize == 0)
    launch_columns<T, kSize>(call, job);
  else
    launch_columns<T, 1>(call, job);
  constexpr std::int64_t kMost = 65535;  // CUDA's limit of gridDim.y
  const auto tiles = [](std::int64_t count) { return (count + simt::kTileSide - 1) / simt::kTileSide; };
  const std::int64_t across = std::min(tiles(filters.of_group) * filters.groups, kMost);
  simt::launch("DeformConv: products", simt::deform_products<T, DeviceRows>,
               {{static_cast<unsigned>(tiles(job.count)), static_cast<unsigned>(across)},
                simt::kTileThreads,
                0,
                stream_of(call)},
               job, filters, output, rows_of_input(call, 0));
}

template <class T>
void run_as(const char* type, const DeformConvParams& p, const Call& call, bool relu) {
  const Tensor &x = call.input(0), &w = call.input(2), &y = call.output(0);
  if (y.size() == 0) return;
  const bool masked = call.has_input(4);
  simt::DeformJob<T> job{.window = deformed_window(type, p, x.shape()),
                         .x = device_in<T>(call, 0),
                         .x_steps = map_steps(x),
                         .offset = device_in<float>(call, 1),
                         .offset_steps = map_steps(call.input(1)),
                         .mask = masked ? device_in<float>(call, 4) : nullptr,
                         .mask_steps = masked ? map_steps(call.input(4)) : simt::MapSteps{},
                         .channels = static_cast<int>(x.dim(1)),
                         .of_offset = static_cast<int>(x.dim(1) / p.deformable_group),
                         .first = 0,
                         .count = 0,
                         .columns = static_cast<float*>(call.scratch)};
  const simt::DeformFilters filters{device_in<float>(call, 2), map_steps(w), static_cast<int>(p.group),
                                    static_cast<int>(w.dim(0) / p.group)};
  const simt::ConvOutput<T, T> output{
      device_out<T>(call, 0), map_steps(y), call.has_input(3) ? device_in<float>(call, 3) : nullptr, nullptr,
      simt::MapSteps{},       relu};
  const std::int64_t places = y.dim(0) * y.dim(2) * y.dim(3), some = places_at_once(x.shape(), w.shape(), y.shape());
  for (job.first = 0; job.first < places; job.first += some) {
    job.count = std::min(some, places - job.first);
    launch_some(call, job, filters, output);
  }
}

}  // namespace

std::string reject(const CallSite& site) {
  const Shape &x = site.inputs[0].shape, &w = site.inputs[2].shape, &y = site.outputs[0].shape;
  if (!x.known() || !y.known()) return "the size of the maps is not known";
  if (w.size(1, 4) > INT32_MAX || w[0] > INT32_MAX) return "takes filters of less than 2^31 numbers";
  if (x[1] * w[2] * w[3] > INT32_MAX || x[2] > INT32_MAX || x[3] > INT32_MAX)
    return "takes windows that see less than 2^31 numbers";
  return {};
}

Prepared prepare(const CallSite& site) {
  const Shape &x = site.inputs[0].shape, &w = site.inputs[2].shape;
  const std::int64_t rows = places_at_once(x, w, site.outputs[0].shape);
  Prepared prepared;
  prepared.scratch_bytes = static_cast<std::size_t>(rows * x[1] * w[2] * w[3]) * sizeof(float);
  return prepared;
}

void run(const char* type, const DeformConvParams& p, const Call& call, bool relu) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) { run_as<T>(type, p, call, relu); });
}

}  // namespace d2deploy::deform_conv_on_gpu
