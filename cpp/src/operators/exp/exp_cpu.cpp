#include "operators/exp/exp.h"

#include <cmath>

#include "operators/unary.h"

namespace d2deploy {

template <>
Kernels<Exp> kernels<Exp, Backend::cpu>() {
  return {{"loop_f32", accepts_all<Exp>, [](const NoParams&, const Call& call) {
             for_each_element<float>(call, [](float x) { return std::exp(x); });
           }}};
}

}  // namespace d2deploy
