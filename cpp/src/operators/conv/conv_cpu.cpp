#include "operators/conv/conv.h"

#include "operators/conv/conv_direct.h"

namespace d2deploy {

template <>
std::vector<KernelOf<Conv>> kernels<Conv, Backend::cpu>() {
  return direct_kernels<Conv>();
}

}  // namespace d2deploy
