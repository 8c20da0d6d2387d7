#include "operators/conv/conv_winograd.h"

#include "kernels/instruction_sets.h"

namespace d2deploy {

namespace {

struct State {
  WinogradConvolution convolution;
  std::shared_ptr<const WinogradFilters> filters;
};

WinogradMaps maps_of(const char* type, const ConvParams& p, const CallSite& site) {
  const Shape &x = site.inputs[0].shape, &y = site.outputs[0].shape;
  const Window at = resolve(type, p, x[2], x[3]);
  return {.in_channels = x[1],
          .in_height = x[2],
          .in_width = x[3],
          .out_channels = y[1],
          .out_height = y[2],
          .out_width = y[3],
          .pad_t = at.pad_t,
          .pad_l = at.pad_l,
          .x_bfloat16 = site.inputs[0].dtype == DType::bfloat16,
          .y_bfloat16 = site.outputs[0].dtype == DType::bfloat16};
}

}  // namespace

std::string reject_winograd_conv(const char* type, const ConvParams& p, const CallSite& site, ConvTail tail) {
  if (!site.is_constant(1)) return "the weights are not constant";
  if (site.inputs[0].layout != Layout::channels_last || site.outputs[0].layout != Layout::channels_last)
    return "the images are not channels-last";
  if (tail.add && site.inputs[kConvAddend].dtype != site.outputs[0].dtype)
    return "the addend has another type than the sum";
  if (!site.outputs[0].shape.known()) return "the size of the output is not known";
  if (site.outputs[0].shape.size() == 0) return "the output is empty";
  const Window at = resolve(type, p, site.inputs[0].shape[2], site.inputs[0].shape[3]);
  if (at.kernel_h != 3 || at.kernel_w != 3) return "is for windows of 3 x 3";
  if (at.stride_h != 1 || at.stride_w != 1 || at.dilation_h != 1 || at.dilation_w != 1 || p.group != 1)
    return "is for windows without strides, dilations and groups";
  return {};
}

// Measured against oneDNN's direct convolution, from 20 tiles of 64 channels on it takes 0.4 to 0.9 of the time; with
// fewer channels the transforms take the gain. The choice must not depend on the number of images or regions, nor on
// the threads: they would get other bits. Products in bfloat16 take half the time without AMX, an eighth with it.
int rank_winograd_conv(const CallSite& site) {
  constexpr std::int64_t kFewestChannels = 64, kFewestTiles = 20;
  // Filters are four times as large as plain ones. Where they are much larger than the maps, they are a lot to keep and
  // to read for little work: 113 MB for the last stage of a ResNet-50, which takes 2 % of the time.
  constexpr std::int64_t kMostFiltersToMaps = 6;
  constexpr int kBetter = 2, kWorse = -1;
  const Shape &x = site.inputs[0].shape, &y = site.outputs[0].shape;
  if (site.inputs[0].dtype == DType::bfloat16 && has_amx_bfloat16()) return kWorse;
  if (x[1] < kFewestChannels || y[1] < kFewestChannels) return kWorse;
  const std::int64_t tiles = divide_up(y[2], kWinogradOut) * divide_up(y[3], kWinogradOut);
  const std::int64_t computed = tiles * kWinogradOut * kWinogradOut;
  const std::int64_t filters = kWinogradPositions * x[1] * y[1], maps = computed * (x[1] + y[1]);
  if (!site.bounded && (tiles < kFewestTiles || filters > kMostFiltersToMaps * maps)) return kWorse;
  // What hangs over the edges of small maps is computed for nothing.
  return 2 * y[2] * y[3] >= computed ? kBetter : kWorse;
}

Prepared prepare_winograd_conv(const char* type, const ConvParams& p, const CallSite& site) {
  const WinogradLoops& loops = winograd_loops();
  const Shape& w = site.inputs[1].shape;
  const auto form_of = [](const WinogradFilters& made) -> Constant::Packed {
    Constant::Packed packed{std::make_shared<WinogradFilters>(made), made.bytes, {}};
    packed.parts = {std::as_bytes(std::span(made.data.get(), made.bytes / sizeof(float)))};
    return packed;
  };
  const auto pack = [&](const Tensor& plain) {
    return form_of(pack_winograd_filters(loops, plain.data<float>(), w[1], w[0]));
  };
  const auto restore = [&](std::vector<ConstantStore::Memory> parts) {
    WinogradFilters made = size_winograd_filters(loops, w[1], w[0]);
    made.data = std::static_pointer_cast<float>(parts[0]);
    return form_of(made);
  };
  const auto form = site.constants[1]->packed(join("winograd 4x4 3x3 ", loops.packed().name), "Conv/winograd_3x3_f32",
                                              pack, {{size_winograd_filters(loops, w[1], w[0]).bytes}, restore});
  auto state =
      std::make_shared<State>(State{{loops, maps_of(type, p, site), site.inputs[0].shape[0], site.context.threads},
                                    std::static_pointer_cast<const WinogradFilters>(form)});
  Prepared prepared;
  prepared.scratch_bytes = state->convolution.scratch_bytes();
  prepared.detail = loops.packed().name;
  prepared.packed = {1};
  prepared.state = std::move(state);
  return prepared;
}

void run_winograd_conv(const Call& call, ConvTail tail) {
  const auto& state = *static_cast<const State*>(call.state);
  const WinogradFinish finish{.bias = call.has_input(2) ? call.in<float>(2) : nullptr,
                              .addend = tail.add ? call.input(kConvAddend).raw() : nullptr,
                              .relu = tail.relu};
  state.convolution.run(*state.filters, call.input(0).dim(0), call.input(0).raw(), finish, call.output(0).raw(),
                        call.scratch);
}

}  // namespace d2deploy
