#include "operators/copy/copy.h"

#include "kernels/reorder.h"

namespace d2deploy {

template <>
Kernels<Copy> kernels<Copy, Backend::cpu>() {
  return {{"copy", accepts_all<Copy>, [](const Copy::Params&, const Call& call) {
             const Tensor &x = call.input(0), &y = call.output(0);
             if (x.raw() != y.raw()) reorder(x.type(), x.raw(), x.layout(), call.output(0).raw());
           }}};
}

}  // namespace d2deploy
