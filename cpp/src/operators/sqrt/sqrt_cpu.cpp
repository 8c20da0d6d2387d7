#include "operators/sqrt/sqrt.h"

#include <cmath>

#include "operators/unary.h"

namespace d2deploy {

template <>
Kernels<Sqrt> kernels<Sqrt, Backend::cpu>() {
  return {{"loop_f32", accepts_all<Sqrt>, [](const NoParams&, const Call& call) {
             for_each_element<float>(call, [](float x) { return std::sqrt(x); });
           }}};
}

}  // namespace d2deploy
