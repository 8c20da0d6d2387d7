#include "operators/given_tensor_int64_fill/given_tensor_int64_fill.h"

namespace d2deploy {

template <>
std::vector<KernelOf<GivenTensorInt64Fill>> kernels<GivenTensorInt64Fill, Backend::cpu>() {
  return {{"copy", accepts_all<GivenTensorInt64Fill>,
           [](const GivenTensorParams& p, const Call& call) { run_given_tensor("GivenTensorInt64Fill", p, call); }}};
}

}  // namespace d2deploy
