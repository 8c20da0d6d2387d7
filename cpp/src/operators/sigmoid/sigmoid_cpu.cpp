#include "operators/sigmoid/sigmoid.h"

#include "operators/sigmoid/sigmoid_run.h"

namespace d2deploy {

template <>
Kernels<Sigmoid> kernels<Sigmoid, Backend::cpu>() {
  return {{"loop_f32", accepts_all<Sigmoid>, run_sigmoid<sigmoid_f32>}};
}

}  // namespace d2deploy
