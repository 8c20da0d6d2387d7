// The floor of a net: its convolutions and FC layers, run bare in oneDNN.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "runtime/plan.h"

namespace d2deploy {

/// One layer as oneDNN runs it best when left alone: channels last, weights packed, bias and ReLU fused.
class BareLayer {
 public:
  virtual ~BareLayer() = default;
  virtual void run() = 0;
};

struct FloorLayer {
  std::string label;
  std::unique_ptr<BareLayer> layer;
};

/// The layers of a plan that multiply matrices, on memory of their own with random values. `type` is that of inputs and
/// outputs: float32, bfloat16, or uint8 with weights of int8 and a scale per output channel.
std::vector<FloorLayer> floor_layers(const Plan& plan, DType type);

}  // namespace d2deploy
