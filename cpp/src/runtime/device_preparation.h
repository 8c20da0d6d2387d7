// Steps of a plan made ready for a GPU, side by side: a convolution takes a good part of a second there, mostly in the
// compiler of its driver.
#pragma once
#include <vector>

#include "runtime/plan.h"

namespace d2deploy {

/// The values of a constant in the memory of a device, where they are once for all plans of the model.
Tensor constant_on(Device device, Constant& constant);

class DevicePreparation {
 public:
  /// A step that has its kernel. `site` is copied.
  void add(std::size_t step, const CallSite& site);
  /// Prepares all of them in as many threads as a run may have. A step whose kernel finds no way after all gets the
  /// next one that takes the call. Throws the error of the first step that has one.
  void run(std::vector<Step>& steps, const PlanOptions& options) const;

  struct Constants {
    std::size_t step;
    std::vector<Constant*> constants;  ///< per input, null where it is none
  };
  std::vector<Constants> constants() const;

 private:
  struct Call {
    std::size_t step;
    Types inputs, outputs;
    std::vector<Constant*> constants;
    bool bounded;
    Context context;
    std::int64_t images;

    CallSite site() const { return {inputs, outputs, constants, bounded, context, images}; }
  };
  std::vector<Call> calls_;
};

}  // namespace d2deploy
