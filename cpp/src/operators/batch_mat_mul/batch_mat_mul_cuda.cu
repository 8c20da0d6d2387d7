#include "operators/batch_mat_mul/batch_mat_mul.h"
#include "operators/product_cuda.h"

namespace d2deploy {

namespace {

struct Operand {
  Extent rows, columns;
  std::int64_t matrices;  // dimensions before those of the matrix

  // A vector is one row where it stands on the left, else one column.
  Operand(const Call& call, std::size_t i, bool left) {
    const std::size_t rank = call.input(i).shape().rank();
    matrices = static_cast<std::int64_t>(rank < 2 ? 0 : rank - 2);
    const Extent one{{1}, 1}, last = extent_of_input(call, i, rank - 1, rank);
    if (rank > 1) rows = extent_of_input(call, i, rank - 2, rank - 1);
    if (rank == 1) rows = left ? one : last;
    columns = rank == 1 && !left ? one : last;
  }
};

// Loops over the batch; a dimension of 1 stands for all indices.
ProductBatch batch_of(const Shape& batch, const Shape& a, const Operand& left, const Shape& b, const Operand& right) {
  std::int64_t a_steps[Shape::kMaxRank] = {}, b_steps[Shape::kMaxRank] = {};
  const auto set = [&](const Shape& x, const Operand& o, std::int64_t* steps) {
    std::int64_t step = o.rows.most() * o.columns.most();
    const auto own = static_cast<std::size_t>(o.matrices);
    for (std::size_t d = own; d-- > 0;) {
      steps[batch.rank() - own + d] = x[d] > 1 ? step : 0;
      step *= x[d];
    }
  };
  set(a, left, a_steps);
  set(b, right, b_steps);
  ProductBatch all{batch.size(), {}};
  for (std::size_t d = 0; d < batch.rank(); ++d) all.loops.add(batch[d], a_steps[d], b_steps[d]);
  return all;
}

void run(const BatchMatMul::Params& p, const Call& call) {
  if (call.output(0).size() == 0) return;
  const Shape &a = call.input(0).shape(), &b = call.input(1).shape();
  const bool trans_a = p.trans_a && a.rank() > 1, trans_b = p.trans_b && b.rank() > 1;
  const Operand left(call, 0, true), right(call, 1, false);
  const ProductExtents extents{trans_a ? left.columns : left.rows, trans_b ? right.rows : right.columns,
                               trans_a ? left.rows : left.columns, trans_b ? right.columns : right.rows};
  launch_product("BatchMatMul", call, extents, batch_of(BatchMatMul::sizes(p, a, b).batch, a, left, b, right),
                 matrix_operand(device_in<float>(call, 0), left.columns.most(), !trans_a),
                 matrix_operand(device_in<float>(call, 1), right.columns.most(), trans_b),
                 ProductWriter<float>{device_out<float>(call, 0), extents.n.most()});
}

std::string reject(const BatchMatMul::Params&, const CallSite& site) {
  // More rows than there are would move the matrices of Y apart.
  if (site.bounded && site.inputs[0].shape.rank() == 2 && site.outputs[0].shape.rank() > 2)
    return "the rows of A are not those of Y";
  return {};
}

}  // namespace

template <>
Kernels<BatchMatMul> kernels<BatchMatMul, Backend::cuda>() {
  return {{"tiles_f32", reject, run}};
}

}  // namespace d2deploy
