#include "operators/fc_transposed/fc_transposed.h"

#include "kernels/matmul.h"

namespace d2deploy {

namespace {

void run(const FCTransposed::Params& p, const Call& call) {
  const auto [m, n, k] = FCTransposed::sizes(p, call.input(0).shape(), call.input(1).shape(), call.input(2).shape());
  const MatmulData data[] = {{call.in<float>(0), call.in<float>(1), call.out<float>(0)}};
  multiply({m, n, k, {k, 1}, {n, 1}}, data, call.in<float>(2));
}

}  // namespace

template <>
Kernels<FCTransposed> kernels<FCTransposed, Backend::cpu>() {
  return {{"tiles_f32", accepts_all<FCTransposed>, run}};
}

}  // namespace d2deploy
