// One call of a kernel on a device, as a plan would make it: its arguments are in memory of the device, with room for
// more rows than there are.
#pragma once
#include <memory>
#include <vector>

#include "core/device.h"
#include "operators/operator.h"

namespace d2deploy::testing {

class DeviceEvaluation {
 public:
  /// `spare_rows` more rows, of NaN, than the inputs have, in those that share their first dimension with the output
  /// (or, where its rows are found in the run, with input 0).
  DeviceEvaluation(Device device, const Operator& op, const Args& args, const std::vector<Tensor>& inputs,
                   const std::vector<bool>& constant, std::int64_t spare_rows);

  /// Empty where `kernel` takes the call.
  std::string reject(const Kernel& kernel) const { return kernel.reject(op_, params_, site()); }
  bool can_run_in_place() const { return !input_types_.empty() && output_types_[0] == input_types_[0]; }
  /// The outputs in host memory. Throws what the kernel finds wrong with its data, and InternalError where it wrote
  /// outside of its outputs. `in_place`: output 0 is input 0.
  std::vector<Tensor> run(const Kernel& kernel, bool in_place) const;

 private:
  struct Value;
  CallSite site() const;
  std::vector<Value> upload() const;
  std::vector<Value> make_outputs() const;
  Tensor download(const Value& value, const TensorType& actual) const;

  const Operator& op_;
  Parameters params_;
  std::vector<Tensor> inputs_;
  std::vector<std::unique_ptr<Constant>> constants_;
  std::vector<Constant*> constant_pointers_;
  std::vector<bool> spare_;           // inputs with spare rows
  Types input_types_, output_types_;  // with the spare rows
  Types actual_types_;                // of the outputs, without
  Stream stream_;
};

/// Whether a plan could pass these inputs with spare rows: they have rows, whose number is that of the outputs or
/// decides on no shape.
bool can_have_spare_rows(const Operator& op, const Args& args, const std::vector<Tensor>& inputs,
                         std::int64_t spare_rows);

}  // namespace d2deploy::testing
