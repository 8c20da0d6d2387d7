#include "operators/squeeze/squeeze.h"

namespace d2deploy {

// A view: the output is the input's memory, and nothing runs.
template <>
Kernels<Squeeze> kernels<Squeeze, Backend::cpu>() {
  return {};
}

}  // namespace d2deploy
