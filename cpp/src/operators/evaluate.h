// Runs one operator by itself on the CPU, without a plan: for constant folding, tests and benchmarks.
#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// One kernel, made ready for inputs like `inputs`.
class Evaluation {
 public:
  /// `constant[i]` says whether input i may be packed. `capacity_rows` >= 0 plans for that many rows in
  /// inputs and outputs whose first dimension is input 0's. Throws InvalidArgument where the inputs do not fit.
  Evaluation(const Operator& op, const Args& args, std::vector<Tensor> inputs, std::vector<bool> constant = {},
             std::int64_t capacity_rows = -1);

  const Types& output_types() const {
    return output_types_;
  }  ///< for the actual inputs; the most rows, where data-dependent
  /// The last kernel in the list that takes the call: the one that others are compared with.
  const Kernel& portable() const;
  /// Empty where `kernel` takes the call; those for a GPU take none.
  std::string reject(const Kernel& kernel) const;
  /// Must come before run; not with a view operator of one output.
  void prepare(const Kernel& kernel);
  /// `outputs` have the output types and memory for them.
  void run(std::vector<Tensor>& outputs);

 private:
  CallSite site() const;

  const Operator& op_;
  Parameters params_;
  std::vector<Tensor> inputs_;
  std::vector<std::unique_ptr<Constant>> constants_;
  std::vector<Constant*> constant_pointers_;
  Types input_types_, output_types_, planned_inputs_, planned_outputs_;
  bool bounded_ = false;
  const Kernel* kernel_ = nullptr;
  Prepared prepared_;
  std::shared_ptr<void> scratch_;
};

/// All outputs, from the portable kernel, in memory of their own.
std::vector<Tensor> evaluate(const Operator& op, const Args& args, const std::vector<Tensor>& inputs);

}  // namespace d2deploy
