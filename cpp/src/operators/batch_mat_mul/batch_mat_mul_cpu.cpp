#include "operators/batch_mat_mul/batch_mat_mul.h"

#include "kernels/matmul.h"
#include "kernels/scratch.h"
#include "operators/planned_scratch.h"

namespace d2deploy {

namespace {

// The matrix of x that stands at `index` of the batch; its dimensions of 1 stand for all indices.
std::int64_t matrix_at(const Shape& x, const Shape& batch, std::int64_t index) {
  std::int64_t at = 0, step = 1;
  const std::size_t own = x.rank() < 2 ? 0 : x.rank() - 2;
  for (std::size_t d = 0; d < own; ++d) {
    const std::size_t from_end = d + 1;
    const std::int64_t size = x[own - from_end], all = batch[batch.rank() - from_end];
    if (size > 1) at += index % all * step;
    step *= size;
    index /= all;
  }
  return at;
}

std::size_t scratch_bytes(std::int64_t products) {
  Scratch scratch;
  scratch.take<MatmulData>(products);
  return scratch.bytes();
}

Prepared prepare(const BatchMatMul::Params& p, const CallSite& site) {
  const Shape batch = BatchMatMul::sizes(p, site.inputs[0].shape, site.inputs[1].shape).batch;
  return plan_scratch(batch.known() && site.outputs[0].shape.known() && site.outputs[0].shape.size() > 0
                          ? scratch_bytes(batch.size())
                          : 0);
}

void run(const BatchMatMul::Params& p, const Call& call) {
  if (call.output(0).size() == 0) return;
  const Shape &a = call.input(0).shape(), &b = call.input(1).shape();
  const auto s = BatchMatMul::sizes(p, a, b);
  const std::int64_t count = s.batch.size();
  const CallScratch scratch(call, scratch_bytes(count));
  auto* products = static_cast<MatmulData*>(scratch.get());
  for (std::int64_t i = 0; i < count; ++i)
    products[i] = {call.in<float>(0) + matrix_at(a, s.batch, i) * s.m * s.k,
                   call.in<float>(1) + matrix_at(b, s.batch, i) * s.k * s.n, call.out<float>(0) + i * s.m * s.n};
  const bool trans_a = p.trans_a && a.rank() > 1, trans_b = p.trans_b && b.rank() > 1;
  const MatrixSteps left = trans_a ? MatrixSteps{1, s.m} : MatrixSteps{s.k, 1};
  const MatrixSteps right = trans_b ? MatrixSteps{1, s.k} : MatrixSteps{s.n, 1};
  multiply({s.m, s.n, s.k, left, right}, {products, static_cast<std::size_t>(count)}, nullptr);
}

}  // namespace

template <>
Kernels<BatchMatMul> kernels<BatchMatMul, Backend::cpu>() {
  return {{"tiles_f32", accepts_all<BatchMatMul>, run, prepare}};
}

}  // namespace d2deploy
