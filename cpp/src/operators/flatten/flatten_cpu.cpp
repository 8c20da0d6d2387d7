#include "operators/flatten/flatten.h"

namespace d2deploy {

// A view: the output is the input's memory, and nothing runs.
template <>
Kernels<Flatten> kernels<Flatten, Backend::cpu>() {
  return {};
}

}  // namespace d2deploy
