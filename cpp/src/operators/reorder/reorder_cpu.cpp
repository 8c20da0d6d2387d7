#include "operators/reorder/reorder.h"

#include "kernels/reorder.h"

namespace d2deploy {

template <>
Kernels<Reorder> kernels<Reorder, Backend::cpu>() {
  return {{"transpose", accepts_all<Reorder>, [](const Reorder::Params& p, const Call& call) {
             reorder(call.input(0).type(), call.input(0).raw(), Reorder::layout(p), call.output(0).raw());
           }}};
}

}  // namespace d2deploy
