#include "operators/conv/conv_packed.h"

#include <algorithm>

#include "core/threads.h"
#include "kernels/reorder.h"
#include "kernels/scratch.h"
#include "operators/packed_filters.h"

namespace d2deploy {

namespace {

struct State {
  PackedConvolution convolution;
  std::shared_ptr<const PackedFilters> filters;
  // Where X has few channels, the whole window is taken as one cell, which is possible on a padded copy of X.
  std::int64_t pad_t = 0, pad_l = 0, padded_height = 0, padded_width = 0;  // no copy: 0
};

bool takes_windows(const PackedLoops& loops, const ConvParams& p, const Window& at, std::int64_t channels) {
  return channels < loops.width && p.group == 1 && at.dilation_w == 1 && at.pad_t >= 0 && at.pad_l >= 0 &&
         at.pad_b >= 0 && at.pad_r >= 0 && at.kernel_h * at.kernel_w * channels <= kMostJoined;
}

// (N, C, H, W) of any layout as (N, padded height, padded width, C).
void pad(const Tensor& x, const State& to, float* out) {
  const Strides4 s = strides4(x.type());
  const std::int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3), row = to.padded_width * channels;
  parallel_for(x.dim(0) * to.padded_height, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t y = r % to.padded_height - to.pad_t;
      std::fill_n(out + r * row, row, 0.0F);
      if (y < 0 || y >= height) continue;
      const float* from = x.data<float>() + r / to.padded_height * s.n + y * s.h;
      float* cells = out + r * row + to.pad_l * channels;
      for (std::int64_t i = 0; i < width; ++i)
        for (std::int64_t c = 0; c < channels; ++c) cells[i * channels + c] = from[i * s.w + c * s.c];
    }
  });
}

// What a call copies: X where the loops cannot read it, Y where they cannot write it.
struct Copies {
  float *x = nullptr, *y = nullptr;
  std::byte* rest = nullptr;
};

Copies copies(const State& state, const TensorType& x, const TensorType& y, Scratch& scratch) {
  Copies c;
  if (state.padded_height > 0)
    c.x = scratch.take<float>(x.shape[0] * state.padded_height * state.padded_width * x.shape[1]);
  else if (x.layout != Layout::channels_last)
    c.x = scratch.take<float>(x.shape.size());
  if (y.layout != Layout::channels_last) c.y = scratch.take<float>(y.shape.size());
  c.rest = scratch.take<std::byte>(static_cast<std::int64_t>(state.convolution.scratch_bytes()));
  return c;
}

std::vector<WindowCell> cells(const Window& at) {
  std::vector<WindowCell> all;
  for (std::int64_t i = 0; i < at.kernel_h; ++i)
    for (std::int64_t j = 0; j < at.kernel_w; ++j)
      all.push_back({i * at.kernel_w + j, i * at.dilation_h - at.pad_t, j * at.dilation_w - at.pad_l});
  return all;
}

// Of whole windows, in the order (M, kh, kw, K).
FilterView window_view(const Shape& w) {
  const std::int64_t all = w.size(1, 4);
  return {1, w[0], all, 1, 1, 0, all, 1, 0, 0};
}

}  // namespace

std::string reject_packed_conv(const ConvParams& p, const CallSite& site) {
  if (!site.is_constant(1)) return "the weights are not constant";
  if (!site.outputs[0].shape.known()) return "the size of the output is not known";
  const Shape& w = site.inputs[1].shape;
  if (site.outputs[0].shape.size() == 0 || w.size() == 0) return "the output is empty, or there is nothing to sum";
  // Groups fill up whole vectors. Where only so much of them is used, the portable loops are faster.
  constexpr std::int64_t kMostWaste = 16;
  const PackedLoops& loops = packed_loops();
  const std::int64_t out = w[0] / p.group;
  if (p.group > 1 && round_up(w[1], loops.width) * round_up(out, loops.panel) > kMostWaste * w[1] * out)
    return "the groups have too few channels";
  return {};
}

Prepared prepare_packed_conv(const char* type, const ConvParams& p, const CallSite& site) {
  const PackedLoops& loops = packed_loops();
  const Shape &x = site.inputs[0].shape, &y = site.outputs[0].shape;
  const TensorType& w = site.inputs[1];
  const Window at = resolve(type, p, x[2], x[3]);
  const bool windows = takes_windows(loops, p, at, x[1]);
  const FilterView view = windows ? window_view(w.shape) : filter_view(w, p.group);
  const auto pack_windows = [&](const Tensor& plain) -> Constant::Packed {
    const Tensor ordered = reordered(plain, Layout::channels_last);
    auto packed = std::make_shared<PackedFilters>(pack_filters(loops, view, ordered.data<float>()));
    return {packed, packed->bytes, [plain] { return plain; }};  // few
  };
  Constant& weights = *site.constants[1];
  const std::string form = join("packed ", loops.name, windows ? " windows" : "", ", group ", p.group);
  const std::string owner = join("Conv/packed_f32, group ", p.group);
  const auto filters = windows
                           ? std::static_pointer_cast<const PackedFilters>(weights.packed(form, owner, pack_windows))
                           : packed_filters(weights, form, owner, loops, view);
  PackedMaps maps{x[0], x[2], x[3], x[1], y[2], y[3], view};
  OutputGrid grid{y[2], y[3], 0, 0, 1, 1, at.stride_h, at.stride_w, {{0, 0, 0}}};
  if (windows) {
    maps.in_height = x[2] + at.pad_t + at.pad_b;
    maps.in_width = x[3] + at.pad_l + at.pad_r;
    maps.runs = at.kernel_h;
    maps.run_step = at.dilation_h * maps.in_width * x[1];
  } else {
    grid.cells = cells(at);
  }
  auto state = std::make_shared<State>(State{PackedConvolution(loops, maps, {grid}, site.context.threads), filters});
  if (windows) {
    state->pad_t = at.pad_t;
    state->pad_l = at.pad_l;
    state->padded_height = maps.in_height;
    state->padded_width = maps.in_width;
  }
  Scratch scratch;
  copies(*state, site.inputs[0], site.outputs[0], scratch);
  return {.state = state, .scratch_bytes = scratch.bytes(), .detail = loops.name, .packed = {1}};
}

void run_packed_conv(const Call& call, ConvTail tail) {
  const auto& state = *static_cast<const State*>(call.state);
  const Tensor& x = call.input(0);
  Tensor& y = call.output(0);
  Scratch scratch(call.scratch);
  const Copies copy = copies(state, x.type(), y.type(), scratch);
  if (state.padded_height > 0)
    pad(x, state, copy.x);
  else if (copy.x != nullptr)
    reorder(x.type(), x.raw(), Layout::channels_last, copy.x);
  PackedFinish finish{.bias = call.has_input(2) ? call.in<float>(2) : nullptr, .addend = nullptr, .relu = tail.relu};
  if (tail.add) {
    finish.addend = call.in<float>(kConvAddend);
    if (copy.y != nullptr) {
      reorder(call.input(kConvAddend).type(), finish.addend, Layout::channels_last, copy.y);
      finish.addend = copy.y;
    }
  }
  state.convolution.run(*state.filters, x.dim(0), copy.x == nullptr ? x.data<float>() : copy.x, finish,
                        copy.y == nullptr ? y.data<float>() : copy.y, copy.rest);
  if (copy.y == nullptr) return;
  TensorType made = y.type();
  made.layout = Layout::channels_last;
  reorder(made, copy.y, Layout::row_major, y.raw());
}

}  // namespace d2deploy
