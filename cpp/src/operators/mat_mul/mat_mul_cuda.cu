#include "operators/mat_mul/mat_mul.h"
#include "operators/product_cuda.h"

namespace d2deploy {

namespace {

void run(const MatMul::Params& p, const Call& call) {
  const Shape &a = call.input(0).shape(), &b = call.input(1).shape();
  const auto split_a = canonical_axis("MatMul", p.axis_a, a.rank()),
             split_b = canonical_axis("MatMul", p.axis_b, b.rank());
  const Extent a_rows = extent_of_input(call, 0, 0, split_a), a_columns = extent_of_input(call, 0, split_a, a.rank());
  const Extent b_rows = extent_of_input(call, 1, 0, split_b), b_columns = extent_of_input(call, 1, split_b, b.rank());
  const ProductExtents extents{p.trans_a ? a_columns : a_rows, p.trans_b ? b_rows : b_columns,
                               p.trans_a ? a_rows : a_columns, p.trans_b ? b_columns : b_rows};
  launch_product("MatMul", call, extents, {}, matrix_operand(device_in<float>(call, 0), a_columns.most(), !p.trans_a),
                 matrix_operand(device_in<float>(call, 1), b_columns.most(), p.trans_b),
                 ProductWriter<float>{device_out<float>(call, 0), extents.n.most()});
}

}  // namespace

template <>
Kernels<MatMul> kernels<MatMul, Backend::cuda>() {
  return {{"tiles_f32", accepts_all<MatMul>, run}};
}

}  // namespace d2deploy
