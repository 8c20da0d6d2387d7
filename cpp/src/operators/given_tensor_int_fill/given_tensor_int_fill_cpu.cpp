#include "operators/given_tensor_int_fill/given_tensor_int_fill.h"

namespace d2deploy {

template <>
std::vector<KernelOf<GivenTensorIntFill>> kernels<GivenTensorIntFill, Backend::cpu>() {
  return {{"copy", accepts_all<GivenTensorIntFill>,
           [](const GivenTensorParams& p, const Call& call) { run_given_tensor("GivenTensorIntFill", p, call); }}};
}

}  // namespace d2deploy
