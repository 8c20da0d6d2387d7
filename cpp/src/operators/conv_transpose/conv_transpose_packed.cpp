#include "operators/conv_transpose/conv_transpose_packed.h"

#include <algorithm>

#include "operators/packed_filters.h"

namespace d2deploy {

namespace {

struct State {
  PackedConvolution convolution;
  std::shared_ptr<const PackedFilters> filters;
};

// Output cells whose place is (phase_y, phase_x) among the strides. With oy + pad = i * stride + phase, cell oy sees
// the input's cell i - q through the window's cell phase + q * stride, for each q; so does ox.
OutputGrid phase(const TransposedWindow& at, std::int64_t phase_y, std::int64_t phase_x) {
  // The first output cell of the phase, and the input's cell that it sees through the window's first one.
  const auto first = [](std::int64_t phase, std::int64_t pad, std::int64_t stride) {
    const std::int64_t i = phase >= pad ? 0 : divide_up(pad - phase, stride);
    return std::pair{i * stride + phase - pad, i};
  };
  const auto [oy, iy] = first(phase_y, at.pad_t, at.stride_h);
  const auto [ox, ix] = first(phase_x, at.pad_l, at.stride_w);
  OutputGrid grid{.height = std::max<std::int64_t>(0, divide_up(at.out_h - oy, at.stride_h)),
                  .width = std::max<std::int64_t>(0, divide_up(at.out_w - ox, at.stride_w)),
                  .first_y = oy,
                  .first_x = ox,
                  .step_y = at.stride_h,
                  .step_x = at.stride_w,
                  .stride_y = 1,
                  .stride_x = 1,
                  .cells = {}};
  for (std::int64_t i = phase_y; i < at.kernel_h; i += at.stride_h)
    for (std::int64_t j = phase_x; j < at.kernel_w; j += at.stride_w)
      grid.cells.push_back({i * at.kernel_w + j, iy - i / at.stride_h, ix - j / at.stride_w});
  return grid;
}

}  // namespace

std::string reject_packed_transpose(const ConvTransposeParams& p, const CallSite& site) {
  if (!site.is_constant(1)) return "the weights are not constant";
  if (!site.outputs[0].shape.known()) return "the size of the output is not known";
  if (site.outputs[0].shape.size() == 0 || site.inputs[1].shape.size() == 0)
    return "the output is empty, or there is nothing to sum";
  if (site.inputs[0].layout != Layout::channels_last || site.outputs[0].layout != Layout::channels_last)
    return "the images are not channels-last";
  constexpr std::int64_t kMostPhases = 64;  // each is a convolution
  const TransposedWindow at = ConvTranspose::window("ConvTranspose", p, {site.inputs, {}});
  if (at.stride_h * at.stride_w > kMostPhases) return "the strides are too large";
  return {};
}

Prepared prepare_packed_transpose(const ConvTransposeParams& p, const CallSite& site) {
  const PackedLoops& loops = packed_loops();
  const Shape &x = site.inputs[0].shape, &y = site.outputs[0].shape;
  const TensorType& w = site.inputs[1];
  const TransposedWindow at = ConvTranspose::window("ConvTranspose", p, {site.inputs, {}});
  const Strides4 step = strides4(w);
  const std::int64_t in = w.shape[0] / p.group;
  const FilterView view{p.group, w.shape[1], in, w.shape[2], w.shape[3], in * step.n, step.c, step.n, step.h, step.w};
  const auto filters = packed_filters(*site.constants[1], join("packed transposed ", loops.name, ", group ", p.group),
                                      join("ConvTranspose/packed_f32, group ", p.group), loops, view);
  std::vector<OutputGrid> grids;
  for (std::int64_t i = 0; i < at.stride_h; ++i)
    for (std::int64_t j = 0; j < at.stride_w; ++j) grids.push_back(phase(at, i, j));
  auto state = std::make_shared<State>(State{
      PackedConvolution(loops, {x[0], x[2], x[3], x[1], y[2], y[3], view}, std::move(grids), site.context.threads),
      filters});
  return {.state = state, .scratch_bytes = state->convolution.scratch_bytes(), .detail = loops.name, .packed = {1}};
}

void run_packed_transpose(const Call& call, bool relu) {
  const auto& state = *static_cast<const State*>(call.state);
  const PackedFinish finish{.bias = call.has_input(2) ? call.in<float>(2) : nullptr, .addend = nullptr, .relu = relu};
  state.convolution.run(*state.filters, call.input(0).dim(0), call.in<float>(0), finish, call.out<float>(0),
                        call.scratch);
}

}  // namespace d2deploy
