// What a session has on a GPU: memory for inputs, row slots and faults, and outputs in memory that both reach.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/device.h"
#include "runtime/plan.h"

namespace d2deploy {

/// An input that is made on the device: `make` asks the stream for all that fills its memory.
struct Fill {
  TensorType type;
  std::function<void(const Tensor& there, const Stream& stream)> make;
};
using Fills = std::map<std::string, Fill>;

/// Work goes to one stream, and the host waits for it once, at the end of a run. From the second run on that work is
/// one CUDA graph, in which steps wait for those alone whose memory they share.
class DeviceSide {
 public:
  DeviceSide(const Plan& plan, Device device);

  const Stream& stream() const { return stream_; }
  /// The memory of an input, a value of the plan.
  Tensor input(std::size_t v) const { return inputs_.at(v); }
  std::int32_t* row_slot(std::size_t slot) const;
  DeviceFault* fault(std::size_t step) const;

  /// Sends the inputs on their way. They may be bytes where the plan has float32, and on the device already.
  void upload(const Plan& plan, const std::map<std::string, Tensor>& given, const Fills& fills);
  /// `launch` launches a step; `values` are the plan's. Returns when all is done.
  void run(const Plan& plan, const std::vector<Tensor>& values, const std::function<void(std::size_t step)>& launch);
  /// The same step by step, as `run` does around the steps.
  void begin() const { stream_.clear(status_.get(), status_bytes_); }
  void end(const Plan& plan, const std::vector<Tensor>& values) const;

  // Of the last run, on the host.
  std::int32_t rows(std::size_t slot) const;
  const DeviceFault& found_fault(std::size_t step) const;
  /// Output i of the plan, with as many rows as there are. It shares the ownership of its memory.
  Tensor output(const Plan& plan, std::size_t i) const;

 private:
  void deliver(const Plan& plan, const std::vector<Tensor>& values) const;
  Recording record(const Plan& plan, const std::vector<Tensor>& values,
                   const std::function<void(std::size_t step)>& launch) const;

  Device device_;
  Stream stream_;
  std::map<std::size_t, Tensor> inputs_;
  std::map<std::size_t, std::shared_ptr<void>> bytes_;  // inputs that came as bytes
  std::size_t faults_offset_, status_bytes_;
  std::shared_ptr<void> status_, host_status_;  // row slots, then a fault per step
  std::vector<Tensor> host_outputs_;            // per output of the plan, with the most rows
  Recording recording_;
  bool has_run_ = false;
};

}  // namespace d2deploy
