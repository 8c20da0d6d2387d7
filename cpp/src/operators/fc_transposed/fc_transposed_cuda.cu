#include "operators/fc_transposed/fc_transposed.h"
#include "operators/product_cuda.h"

namespace d2deploy {

namespace {

void run(const FCTransposed::Params& p, const Call& call) {
  const Shape &x = call.input(0).shape(), &w = call.input(1).shape();
  const auto axis = canonical_axis("FCTransposed", p.axis, x.rank()),
             axis_w = canonical_axis("FCTransposed", p.axis_w, w.rank());
  const ProductExtents extents{extent_of_input(call, 0, 0, axis), extent_of_input(call, 1, axis_w, w.rank()),
                               extent_of_input(call, 0, axis, x.rank()), extent_of_input(call, 1, 0, axis_w)};
  launch_product("FCTransposed", call, extents, {}, matrix_operand(device_in<float>(call, 0), extents.k.most(), true),
                 matrix_operand(device_in<float>(call, 1), extents.n.most(), false),
                 ProductWriter<float>{device_out<float>(call, 0), extents.n.most(), device_in<float>(call, 2)});
}

}  // namespace

template <>
Kernels<FCTransposed> kernels<FCTransposed, Backend::cuda>() {
  return {{"tiles_f32", accepts_all<FCTransposed>, run}};
}

}  // namespace d2deploy
