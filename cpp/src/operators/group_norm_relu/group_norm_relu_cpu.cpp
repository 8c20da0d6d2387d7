#include "operators/group_norm_relu/group_norm_relu.h"

#include "operators/group_norm/group_norm_task.h"

namespace d2deploy {

template <>
std::vector<KernelOf<GroupNormRelu>> kernels<GroupNormRelu, Backend::cpu>() {
  return group_norm_kernels<GroupNormRelu>();
}

}  // namespace d2deploy
