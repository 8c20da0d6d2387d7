#include "core/threads.h"
#include "kernels/layer_norm.h"
#include "operators/layer_norm/layer_norm.h"

namespace d2deploy {

namespace {

void run(const LayerNorm::Params& p, const Call& call) {
  const auto [rows, n] = LayerNormRows::of(p, call.input(0).shape());
  const LayerNormTask task{.n = n,
                           .epsilon = p.epsilon,
                           .x = call.in<float>(0),
                           .gamma = p.elementwise_affine ? call.in<float>(1) : nullptr,
                           .beta = p.elementwise_affine ? call.in<float>(2) : nullptr,
                           .y = call.out<float>(0),
                           .mean = call.has_output(1) ? call.out<float>(1) : nullptr,
                           .deviation = call.has_output(2) ? call.out<float>(2) : nullptr};
  parallel_for(rows, 1 + (1 << 13) / (n + 1),
               [&](std::int64_t begin, std::int64_t end) { layer_norm(task, begin, end); });
}

}  // namespace

template <>
Kernels<LayerNorm> kernels<LayerNorm, Backend::cpu>() {
  return {{"rows_f32", accepts_all<LayerNorm>, run}};
}

}  // namespace d2deploy
