// A plan in the memory of one session. All that can be settled before a run is: a run of planned steps sets row counts
// and calls kernels, it infers no shape and allocates nothing.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "runtime/device_side.h"
#include "runtime/plan.h"

namespace d2deploy {

class Frame {
 public:
  /// `arena` has at least the plan's bytes. `constants` and `options` must outlive the frame.
  Frame(std::shared_ptr<const Plan> plan, std::shared_ptr<void> arena, const Constants& constants,
        const PlanOptions& options);
  ~Frame();

  const Plan& plan() const { return *plan_; }
  /// Must come before the first run. They are read in every run, and must live as long.
  /// `fills`: on a device, those that are made there instead.
  void set_inputs(const std::map<std::string, Tensor>& inputs, const Fills& fills = {});
  /// Throws the errors of kernels, with the step's label.
  void run();
  void run_step(std::size_t s);  ///< on the CPU
  /// The same with the time of each step, in milliseconds.
  void run_timed(const std::function<void(std::size_t s, double milliseconds)>& note);
  /// On a device: launches one step; nobody has waited for it when it returns.
  void launch_step(std::size_t s);
  const Stream& stream() const;  ///< on a device
  void wait() const;             ///< for all that was asked of it so far; throws what became of that
  /// Output i of the plan, with the shape of this run. It shares the ownership of its memory, which the next run
  /// overwrites.
  Tensor output(std::size_t i) const;
  const Call& call(std::size_t s) const { return calls_[s]; }

 private:
  void point_calls();
  void settle(std::size_t s);
  void run_late(std::size_t s);
  void report_faults() const;

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<void> arena_;
  const Constants& constants_;
  const PlanOptions& options_;
  std::vector<Tensor> values_;
  std::vector<std::int32_t> rows_;  // per row slot
  std::vector<Call> calls_;         // per step; they point into the following
  std::vector<const Tensor*> inputs_;
  std::vector<Tensor*> outputs_;
  std::vector<const std::int32_t*> input_rows_;
  std::vector<std::int32_t*> output_rows_;
  std::unique_ptr<DeviceSide> device_;  // null on the CPU
};

}  // namespace d2deploy
