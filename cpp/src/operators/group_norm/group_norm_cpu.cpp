#include "operators/group_norm/group_norm_task.h"

namespace d2deploy {

template <>
std::vector<KernelOf<GroupNorm>> kernels<GroupNorm, Backend::cpu>() {
  return group_norm_kernels<GroupNorm>();
}

}  // namespace d2deploy
