#include "operators/flatten/flatten.h"

namespace d2deploy {

// A view: the output is the input's memory, and nothing runs.
template <>
std::vector<KernelOf<Flatten>> kernels<Flatten, Backend::cpu>() {
  return {};
}

}  // namespace d2deploy
