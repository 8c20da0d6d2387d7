#include "operators/cudnn_conv.h"

#include <utility>

#include "core/device.h"
#include "core/element_type.h"
#include "core/memory.h"
#include "kernels/convert.h"
#include "kernels/simt/rearrange.h"

namespace d2deploy {

namespace {

// A window of stride 2 over few channels, the first of a net, as one of stride 1 over four times as many: each 2 x 2
// pixels become one. cuDNN's tensor cores take channels by 16 bytes, of which three would leave most unused.
struct Folded {
  std::int64_t before_h = 0, before_w = 0;  // folded pixels in front of the first window's first row and column
  bool on = false;
};

struct State {
  std::shared_ptr<const cudnn::Conv> conv;
  cudnn::ConvProblem problem;  // of one run
  std::int64_t runs = 1;
  std::int64_t c = 0, k = 0, h = 0, w = 0;  // of the operator's own maps
  Folded folded;
  bool add_apart = false, relu_apart = false;  // behind the convolution
  std::shared_ptr<const Tensor> filters, bias;
  std::size_t x_offset = 0, y_offset = 0, bytes = 0;  // of the scratch memory

  bool fills_x() const { return problem.c != c || folded.on; }
  bool fills_y() const { return problem.k != k; }
};

// cuDNN adds a map in the pass of the convolution on tensor cores alone; what it has for float32 that must not be
// rounded takes ten times as long as both one after the other.
bool adds_apart(const cudnn::ConvProblem& p) { return p.add && p.x == DType::float32 && !p.tf32; }

std::int64_t round_up(std::int64_t x, std::int64_t to) { return (x + to - 1) / to * to; }

// 16 bytes of channels: cuDNN's tensor cores take no less.
void fill_channels(cudnn::ConvProblem& p) {
  if (p.group != 1) return;
  const std::int64_t unit = 16 / static_cast<std::int64_t>(size_of(p.x));
  p.c = round_up(p.c, unit);
  if (!p.add) p.k = round_up(p.k, unit);
}

// Rounds down where x is negative, too.
std::int64_t half(std::int64_t x) { return x >= 0 ? x / 2 : -((1 - x) / 2); }

Folded fold_stride(cudnn::ConvProblem& p) {
  constexpr std::int64_t kMostChannels = 4;
  Window& at = p.window;
  if (p.c > kMostChannels || p.group != 1 || p.add || at.stride_h != 2 || at.stride_w != 2 || at.dilation_h != 1 ||
      at.dilation_w != 1)
    return {};
  const Folded folded{-half(-at.pad_t), -half(-at.pad_l), true};
  at.kernel_h = half(at.kernel_h - 1 - at.pad_t) + folded.before_h + 1;
  at.kernel_w = half(at.kernel_w - 1 - at.pad_l) + folded.before_w + 1;
  at.stride_h = at.stride_w = 1;
  at.pad_t = at.pad_l = at.pad_b = at.pad_r = 0;
  p.h = at.out_h + at.kernel_h - 1;
  p.w = at.out_w + at.kernel_w - 1;
  p.c *= 4;
  return folded;
}

// The filters (k, kernel_h, kernel_w, c) of `plain` for folded pixels.
std::vector<float> fold_filters(const std::vector<float>& filters, const cudnn::ConvProblem& plain,
                                const cudnn::ConvProblem& p, const Folded& folded) {
  const Window &from = plain.window, &to = p.window;
  std::vector<float> result(static_cast<std::size_t>(p.k * to.kernel_h * to.kernel_w * 4 * plain.c));
  auto* out = result.data();
  for (std::int64_t k = 0; k < p.k; ++k)
    for (std::int64_t i = 0; i < to.kernel_h; ++i)
      for (std::int64_t j = 0; j < to.kernel_w; ++j)
        for (std::int64_t phase = 0; phase < 4; ++phase, out += plain.c) {
          const std::int64_t v = 2 * (i - folded.before_h) + phase / 2 + from.pad_t;
          const std::int64_t u = 2 * (j - folded.before_w) + phase % 2 + from.pad_l;
          if (v < 0 || v >= from.kernel_h || u < 0 || u >= from.kernel_w) continue;
          std::copy_n(filters.data() + ((k * from.kernel_h + v) * from.kernel_w + u) * plain.c, plain.c, out);
        }
  return result;
}

// `plain` is the operator's own problem, `folded` what became of it, `filled` what cuDNN computes.
std::shared_ptr<const Tensor> device_filters(const CallSite& site, const CudnnCall& call, const Folded& folded,
                                             const cudnn::ConvProblem& p, const cudnn::ConvProblem& filled) {
  const Device device = site.context.device;
  const auto& plain_problem = call.problem;
  const std::int64_t window = p.window.kernel_h * p.window.kernel_w, depth = p.c / p.group;
  const auto pack = [&](const Tensor& plain) -> Constant::Packed {
    const std::int64_t filled_depth = filled.c / filled.group;
    std::vector<float> filters(static_cast<std::size_t>(plain.size()));
    call.filters(plain, filters.data());
    if (folded.on) filters = fold_filters(filters, plain_problem, p, folded);
    Tensor wide = Tensor::allocate(f32({filled.k, window, filled_depth}));
    std::fill_n(wide.data<float>(), wide.size(), 0.0F);
    for (std::int64_t row = 0; row < p.k * window; ++row)
      std::copy_n(filters.data() + row * depth, depth, wide.data<float>() + row * filled_depth);
    TensorType type = wide.type();
    type.dtype = p.x;
    Tensor narrow = Tensor::allocate(type);
    convert(wide, narrow);
    auto there = std::make_shared<Tensor>(upload(device, narrow));
    return {there, static_cast<std::size_t>(there->bytes()), {}};
  };
  const auto form = join(call.form, folded.on ? " folded " : " ", p.x, " on ", device, ", ", filled.k, " x ", filled.c,
                         " group ", p.group);
  return std::static_pointer_cast<const Tensor>(site.constants[1]->packed(form, join("cudnn/", form), pack));
}

std::shared_ptr<const Tensor> device_bias(const CallSite& site, const CudnnCall& call, std::int64_t k) {
  const auto pack = [&](const Tensor& plain) -> Constant::Packed {
    Tensor filled = Tensor::allocate(f32({k}));
    std::fill_n(filled.data<float>(), k, 0.0F);
    for (std::int64_t i = 0; i < call.bias_repeats; ++i)
      std::copy_n(plain.data<float>(), plain.size(), filled.data<float>() + i * plain.size());
    auto there = std::make_shared<Tensor>(upload(site.context.device, filled));
    return {there, static_cast<std::size_t>(there->bytes()), {}};
  };
  const auto form = join("bias on ", site.context.device, ", ", k, ", ", call.bias_repeats, " times");
  return std::static_pointer_cast<const Tensor>(site.constants[2]->packed(form, join("cudnn/", form), pack));
}

}  // namespace

std::int64_t cudnn_runs(const CallSite& site, std::int64_t rows) {
  if (!site.bounded) return rows;
  return site.images > 0 && rows % site.images == 0 ? site.images : 1;
}

CudnnCall cudnn_maps(const CallSite& site) {
  const TensorType &x = site.inputs[0], &y = site.outputs[0];
  CudnnCall call;
  call.runs = cudnn_runs(site, x.shape[0]);
  call.problem.x = x.dtype;
  call.problem.y = y.dtype;
  call.problem.n = x.shape[0] / call.runs;
  call.problem.c = x.shape[1];
  call.problem.h = x.shape[2];
  call.problem.w = x.shape[3];
  call.problem.k = y.shape[1];
  call.problem.bias = site.inputs.size() > 2;
  return call;
}

std::string reject_cudnn_maps(const CallSite& site) {
  if (!site.is_constant(1)) return "the weights are not constant";
  if (site.inputs.size() > 2 && !site.is_constant(2)) return "the bias is not constant";
  if (!site.outputs[0].shape.known()) return "the size of the output is not known";
  if (site.outputs[0].shape.size() == 0) return "the output is empty";
  if (site.inputs[0].layout != Layout::channels_last) return "X is not channels-last";
  return {};
}

Prepared prepare_cudnn(const CallSite& site, const CudnnCall& call) {
  auto state = std::make_shared<State>();
  state->problem = call.problem;
  state->problem.tf32 = site.context.tf32;
  state->runs = call.runs;
  state->c = call.problem.c;
  state->k = call.problem.k;
  state->h = call.problem.h;
  state->w = call.problem.w;
  if (adds_apart(state->problem)) {
    state->add_apart = std::exchange(state->problem.add, false);
    state->relu_apart = std::exchange(state->problem.relu, false);
  }
  state->folded = fold_stride(state->problem);
  const cudnn::ConvProblem unfilled = state->problem;
  fill_channels(state->problem);
  // Maps of the runs lie one behind the other.
  const auto is_aligned = [&](std::int64_t elements, DType dtype) {
    return state->runs == 1 || elements * static_cast<std::int64_t>(size_of(dtype)) % 16 == 0;
  };
  const auto& own = call.problem;
  const bool aligned = (state->fills_x() || is_aligned(own.n * own.h * own.w * own.c, own.x)) &&
                       (state->fills_y() || is_aligned(own.n * own.window.out_h * own.window.out_w * own.k, own.y));
  if (!aligned) state->problem.alignment = static_cast<std::int64_t>(size_of(own.x));
  const auto& p = state->problem;
  state->conv = cudnn::make_conv(site.context.device, p, site.context.tune);
  check<Unsupported>(state->conv != nullptr, "cuDNN has no way to compute ", p.text());
  state->filters = device_filters(site, call, state->folded, unfilled, p);
  if (p.bias) state->bias = device_bias(site, call, p.k);
  const auto element = static_cast<std::int64_t>(size_of(p.x));
  state->x_offset = align_up(state->conv->scratch_bytes());
  state->y_offset = state->x_offset;
  if (state->fills_x()) state->y_offset += align_up(static_cast<std::size_t>(p.n * p.h * p.w * p.c * element));
  state->bytes = state->y_offset;
  if (state->fills_y())
    state->bytes += align_up(static_cast<std::size_t>(p.n * p.window.out_h * p.window.out_w * p.k) * size_of(p.y));
  Prepared prepared;
  prepared.scratch_bytes = state->bytes;
  prepared.detail = state->conv->detail();
  prepared.packed = p.bias ? std::vector<std::size_t>{1, 2} : std::vector<std::size_t>{1};
  prepared.state = state;
  return prepared;
}

void run_cudnn(const Call& call, void* y) {
  const auto& state = *static_cast<const State*>(call.state);
  const auto& p = state.problem;
  const auto element = static_cast<std::int64_t>(size_of(p.x)), result = static_cast<std::int64_t>(size_of(p.y));
  const std::int64_t in = p.n * state.h * state.w, out = p.n * p.window.out_h * p.window.out_w;
  auto* scratch = static_cast<std::byte*>(call.scratch);
  for (std::int64_t i = 0; i < state.runs; ++i) {
    const auto at = [&](const void* map, std::int64_t pixels, std::int64_t bytes) {
      return static_cast<const std::byte*>(map) + i * pixels * bytes;
    };
    cudnn::ConvArguments a;
    a.scratch = scratch;
    a.x = at(call.input(0).raw(), in * state.c, element);
    if (state.folded.on)
      simt::fold_pixels(call.context.stream, p.x, a.x, scratch + state.x_offset,
                        {p.n, state.h, state.w, state.c, p.h, p.w, p.c, state.folded.before_h, state.folded.before_w});
    else if (state.fills_x())
      simt::copy_channels(call.context.stream, p.x, a.x, state.c, scratch + state.x_offset, p.c, in);
    if (state.fills_x()) a.x = scratch + state.x_offset;
    a.w = state.filters->raw();
    if (p.bias) a.bias = static_cast<const float*>(state.bias->raw());
    const auto* addend = p.add || state.add_apart ? at(call.input(3).raw(), out * state.k, element) : nullptr;
    if (p.add) a.addend = addend;
    auto* target = const_cast<std::byte*>(at(y, out * state.k, result));
    a.y = state.fills_y() ? scratch + state.y_offset : target;
    state.conv->run(call.context.stream, a);
    if (state.fills_y()) simt::copy_channels(call.context.stream, p.y, a.y, p.k, target, state.k, out);
    if (state.add_apart)
      simt::add_map(call.context.stream, reinterpret_cast<float*>(target), reinterpret_cast<const float*>(addend),
                    out * state.k, state.relu_apart);
  }
}

void* own_scratch(const Call& call) {
  return static_cast<std::byte*>(call.scratch) + static_cast<const State*>(call.state)->bytes;
}

}  // namespace d2deploy
