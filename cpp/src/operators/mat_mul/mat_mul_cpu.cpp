#include "operators/mat_mul/mat_mul.h"

#include "kernels/matmul.h"

namespace d2deploy {

namespace {

void run(const MatMul::Params& p, const Call& call) {
  const auto [m, n, k] = MatMul::sizes(p, call.input(0).shape(), call.input(1).shape());
  const MatrixSteps a = p.trans_a ? MatrixSteps{1, m} : MatrixSteps{k, 1};
  const MatrixSteps b = p.trans_b ? MatrixSteps{1, k} : MatrixSteps{n, 1};
  const MatmulData data[] = {{call.in<float>(0), call.in<float>(1), call.out<float>(0)}};
  multiply({m, n, k, a, b}, data, nullptr);
}

}  // namespace

template <>
Kernels<MatMul> kernels<MatMul, Backend::cpu>() {
  return {{"tiles_f32", accepts_all<MatMul>, run}};
}

}  // namespace d2deploy
