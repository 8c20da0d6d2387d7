#include "operators/reorder/reorder.h"

#include "kernels/convert.h"
#include "kernels/reorder.h"
#include "operators/planned_scratch.h"

namespace d2deploy {

namespace {

// Where both change, X is converted into scratch memory first.
std::size_t scratch_bytes(const Reorder::Params& p, const TensorType& x) {
  const TensorType y = Reorder::type(p, x);
  return x.shape.known() && y.dtype != x.dtype && y.layout != x.layout ? static_cast<std::size_t>(y.bytes()) : 0;
}

void run(const Reorder::Params& p, const Call& call) {
  const Tensor& x = call.input(0);
  TensorType type = x.type();
  const void* values = x.raw();
  Tensor& y = call.output(0);
  const CallScratch scratch(call, scratch_bytes(p, type));
  if (y.dtype() != type.dtype) {
    void* to = y.layout() == type.layout ? y.raw() : scratch.get();
    type.dtype = y.dtype();
    type.scale = y.type().scale;
    Tensor converted = Tensor::view(type, to);
    convert(x, converted);
    if (to == y.raw()) return;
    values = to;
  }
  reorder(type, values, y.layout(), y.raw());
}

}  // namespace

template <>
Kernels<Reorder> kernels<Reorder, Backend::cpu>() {
  return {{"transpose", accepts_all<Reorder>, run, [](const Reorder::Params& p, const CallSite& site) {
             return plan_scratch(scratch_bytes(p, site.inputs[0]));
           }}};
}

}  // namespace d2deploy
