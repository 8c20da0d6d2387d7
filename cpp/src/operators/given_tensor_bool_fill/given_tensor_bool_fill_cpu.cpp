#include "operators/given_tensor_bool_fill/given_tensor_bool_fill.h"

namespace d2deploy {

template <>
std::vector<KernelOf<GivenTensorBoolFill>> kernels<GivenTensorBoolFill, Backend::cpu>() {
  return {{"copy", accepts_all<GivenTensorBoolFill>,
           [](const GivenTensorParams& p, const Call& call) { run_given_tensor("GivenTensorBoolFill", p, call); }}};
}

}  // namespace d2deploy
