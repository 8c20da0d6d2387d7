#include "kernels/instruction_sets.h"
#include "operators/sigmoid/sigmoid.h"
#include "operators/sigmoid/sigmoid_run.h"

namespace d2deploy {

template <>
Kernels<Sigmoid> kernels<Sigmoid, Backend::avx512>() {
  return {{"loop_f32_avx512", [](const NoParams&, const CallSite&) { return refuse_without_avx512(); },
           run_sigmoid<sigmoid_f32_avx512>}};
}

}  // namespace d2deploy
