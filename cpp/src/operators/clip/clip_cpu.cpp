#include "operators/clip/clip.h"

#include "operators/unary.h"

namespace d2deploy {

template <>
Kernels<Clip> kernels<Clip, Backend::cpu>() {
  return {{"loop_f32", accepts_all<Clip>, [](const Clip::Params& p, const Call& call) {
             for_each_element<float>(call, [&p](float x) {
               const float raised = x < p.min ? p.min : x;
               return raised > p.max ? p.max : raised;
             });
           }}};
}

}  // namespace d2deploy
