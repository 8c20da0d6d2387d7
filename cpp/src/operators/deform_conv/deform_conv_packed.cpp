#include "operators/deform_conv/deform_conv_packed.h"

#include "core/threads.h"
#include "kernels/convert.h"
#include "kernels/instruction_sets.h"
#include "kernels/pool_bin.h"
#include "kernels/reorder.h"
#include "kernels/scratch.h"
#include "operators/deform_conv/deform_places.h"
#include "operators/packed_filters.h"

namespace d2deploy {

namespace {

struct State {
  DeformedWindow window;
  std::int64_t deformable_groups;
  PackedConvolution convolution;
  std::shared_ptr<const PackedFilters> filters;
};

PoolBin<float> interpolate() {
#if defined(__x86_64__)
  if (has_avx512()) return pool_bin_channels_last_avx512;
#endif
  return portable_pool_bin<float>(true);
}

// Rows of channels, interpolated: the sum over a bin of RoIAlign is one over the cells around a place, too.
class Interpolator : public RowMaker {
 public:
  Interpolator(const State& state, const Call& call, const float* x)
      : window_(state.window),
        places_(state.window, call),
        x_(x),
        channels_(call.input(0).dim(1)),
        of_offset_(channels_ / state.deformable_groups),
        pool_(interpolate()) {}

  void make(const RowsToMake& rows, float* to) const override {
    const std::int64_t map = window_.height * window_.width * channels_;
    for (std::int64_t r = rows.begin; r < rows.begin + rows.count; ++r, to += rows.channels) {
      const std::int64_t image = r / window_.out_width / window_.out_height,
                         out_y = r / window_.out_width % window_.out_height, out_x = r % window_.out_width;
      for (std::int64_t c = 0; c < rows.channels;) {
        const std::int64_t channel = rows.first_channel + c, group = channel / of_offset_,
                           count = std::min(rows.channels - c, (group + 1) * of_offset_ - channel);
        sample(places_.at(image, out_y, out_x, group, rows.cell.filter), x_ + image * map + channel, count, to + c);
        c += count;
      }
    }
  }

 private:
  void sample(const DeformPlaces::Place& place, const float* x, std::int64_t channels, float* to) const {
    if (!place.counts()) {
      std::fill_n(to, channels, 0.0F);
      return;
    }
    const float down[] = {place.weight * place.rows.weights[0], place.weight * place.rows.weights[1]};
    const FeatureMap<float> map{x,         1, channels, window_.height, window_.width, 0, 1, window_.width * channels_,
                                channels_, 1};
    pool_(map, x, {down, place.rows.first, place.rows.count},
          {place.columns.weights, place.columns.first, place.columns.count}, to, 1);
  }

  const DeformedWindow& window_;
  const DeformPlaces places_;
  const float* x_;
  std::int64_t channels_, of_offset_;
  PoolBin<float> pool_;
};

std::vector<WindowCell> cells(const DeformedWindow& at) {
  std::vector<WindowCell> all;
  for (std::int64_t i = 0; i < at.cells(); ++i) all.push_back({i, 0, 0});
  return all;
}

// X and Y in float32, channels last, where they are not so themselves, and in float32 as they lie.
struct Copies {
  float *wide_x = nullptr, *x = nullptr, *y = nullptr, *row_major_y = nullptr;
  std::byte* rest = nullptr;
};

Copies copies(const State& state, const TensorType& x, const TensorType& y, Scratch& scratch) {
  Copies c;
  const bool wide = x.dtype == DType::float32, last = x.layout == Layout::channels_last;
  if (!wide) c.wide_x = scratch.take<float>(x.shape.size());
  if (!last) c.x = scratch.take<float>(x.shape.size());
  if (!wide || y.layout != Layout::channels_last) c.y = scratch.take<float>(y.shape.size());
  if (!wide && y.layout != Layout::channels_last) c.row_major_y = scratch.take<float>(y.shape.size());
  c.rest = scratch.take<std::byte>(static_cast<std::int64_t>(state.convolution.scratch_bytes()));
  return c;
}

const float* read(const Tensor& x, const Copies& copy) {
  const void* data = x.raw();
  TensorType type = x.type();
  if (copy.wide_x != nullptr) {
    convert(type.dtype, data, DType::float32, copy.wide_x, x.size());
    data = copy.wide_x;
    type.dtype = DType::float32;
  }
  if (copy.x == nullptr) return static_cast<const float*>(data);
  reorder(type, data, Layout::channels_last, copy.x);
  return copy.x;
}

void write(const Copies& copy, Tensor& y) {
  if (copy.y == nullptr) return;
  const TensorType made{DType::float32, y.shape(), Layout::channels_last};
  const float* sums = copy.y;
  if (y.layout() != Layout::channels_last) {
    float* const to = copy.row_major_y == nullptr ? y.data<float>() : copy.row_major_y;
    reorder(made, sums, y.layout(), to);
    sums = to;
  }
  if (y.dtype() != DType::float32) convert(DType::float32, sums, y.dtype(), y.raw(), y.size());
}

}  // namespace

std::string reject_packed_deform_conv(const DeformConvParams&, const CallSite& site) {
  if (!site.is_constant(2)) return "the weights are not constant";
  if (!site.outputs[0].shape.known()) return "the size of the output is not known";
  if (site.outputs[0].shape.size() == 0 || site.inputs[2].shape.size() == 0)
    return "the output is empty, or there is nothing to sum";
  return {};
}

Prepared prepare_packed_deform_conv(const char* type, const DeformConvParams& p, const CallSite& site) {
  const PackedLoops& loops = packed_loops();
  const Shape &x = site.inputs[0].shape, &y = site.outputs[0].shape;
  const DeformedWindow window = deformed_window(type, p, x);
  const FilterView view = filter_view(site.inputs[2], p.group);
  const std::string form = join("packed ", loops.name, ", group ", p.group);
  const auto filters =
      packed_filters(*site.constants[2], form, join("DeformConv/packed, group ", p.group), loops, view);
  const PackedMaps maps{x[0], x[2], x[3], x[1], y[2], y[3], view};
  const OutputGrid grid{y[2], y[3], 0, 0, 1, 1, 1, 1, cells(window)};
  auto state = std::make_shared<State>(
      State{window, p.deformable_group, PackedConvolution(loops, maps, {grid}, site.context.threads, true), filters});
  Scratch scratch;
  copies(*state, site.inputs[0], site.outputs[0], scratch);
  return {.state = state, .scratch_bytes = scratch.bytes(), .detail = loops.name, .packed = {2}};
}

void run_packed_deform_conv(const Call& call, bool relu) {
  const auto& state = *static_cast<const State*>(call.state);
  const Tensor& x = call.input(0);
  Tensor& y = call.output(0);
  Scratch scratch(call.scratch);
  const Copies copy = copies(state, x.type(), y.type(), scratch);
  const Interpolator rows(state, call, read(x, copy));
  const PackedFinish finish{.bias = call.has_input(3) ? call.in<float>(3) : nullptr, .addend = nullptr, .relu = relu};
  state.convolution.run(*state.filters, x.dim(0), rows, finish, copy.y == nullptr ? y.data<float>() : copy.y,
                        copy.rest);
  write(copy, y);
}

}  // namespace d2deploy
