#include "runtime/device_side.h"

#include <algorithm>

#include "core/memory.h"
#include "kernels/simt/rearrange.h"
#include "runtime/step_waits.h"

namespace d2deploy {

namespace {

using Place = PlannedValue::Place;

std::size_t row_bytes(const TensorType& type) {
  const std::int64_t rows = type.shape.rank() == 0 ? 1 : type.shape[0];
  return rows == 0 ? 0 : static_cast<std::size_t>(type.bytes() / rows);
}

}  // namespace

DeviceSide::DeviceSide(const Plan& plan, Device device)
    : device_(device),
      stream_(device),
      faults_offset_(align_up(plan.rows.size() * sizeof(std::int32_t))),
      status_bytes_(align_up(faults_offset_ + plan.steps.size() * sizeof(DeviceFault))),
      status_(allocate(device, status_bytes_)),
      host_status_(allocate_pinned(device, status_bytes_)) {
  for (const auto& [name, v] : plan.inputs) {
    const TensorType& type = plan.values[v].type;
    auto memory = allocate(device, static_cast<std::size_t>(type.bytes()));
    inputs_[v] = Tensor::share(type, memory.get(), memory, device);
  }
  for (const auto v : plan.outputs) {
    const PlannedValue& value = plan.values[v];
    if (value.place == Place::constant) {
      host_outputs_.push_back(copy_to({}, value.constant, stream_));
      continue;
    }
    auto memory = allocate_pinned(device, static_cast<std::size_t>(value.type.bytes()));
    host_outputs_.push_back(Tensor::share(value.type, memory.get(), memory));
  }
  stream_.synchronize();
}

std::int32_t* DeviceSide::row_slot(std::size_t slot) const { return static_cast<std::int32_t*>(status_.get()) + slot; }

DeviceFault* DeviceSide::fault(std::size_t step) const {
  return reinterpret_cast<DeviceFault*>(static_cast<std::byte*>(status_.get()) + faults_offset_) + step;
}

std::int32_t DeviceSide::rows(std::size_t slot) const {
  return static_cast<const std::int32_t*>(host_status_.get())[slot];
}

const DeviceFault& DeviceSide::found_fault(std::size_t step) const {
  const auto* all = static_cast<const std::byte*>(host_status_.get()) + faults_offset_;
  return reinterpret_cast<const DeviceFault*>(all)[step];
}

void DeviceSide::upload(const Plan& plan, const std::map<std::string, Tensor>& given, const Fills& fills) {
  for (const auto& [name, v] : plan.inputs) {
    Tensor& there = inputs_.at(v);
    if (const auto fill = fills.find(name); fill != fills.end()) {
      fill->second.make(there, stream_);
      continue;
    }
    const Tensor& x = given.at(name);
    const auto bytes = static_cast<std::size_t>(x.bytes());
    if (x.dtype() == there.dtype()) {
      stream_.copy(there.raw(), device_, x.raw(), x.device(), bytes);
      continue;
    }
    auto& memory = bytes_[v];
    if (memory == nullptr) memory = allocate(device_, bytes);
    stream_.copy(memory.get(), device_, x.raw(), x.device(), bytes);
    simt::widen_bytes(stream_.handle(), static_cast<const std::uint8_t*>(memory.get()),
                      static_cast<float*>(there.raw()), x.size());
  }
}

void DeviceSide::deliver(const Plan& plan, const std::vector<Tensor>& values) const {
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    const std::size_t v = plan.outputs[i];
    const PlannedValue& value = plan.values[v];
    if (value.place == Place::constant) continue;
    const std::int64_t most = value.type.shape.rank() == 0 ? 1 : value.type.shape[0];
    const std::int32_t* rows = value.rows < 0 ? nullptr : row_slot(static_cast<std::size_t>(value.rows));
    simt::copy_rows(stream_.handle(), values[v].raw(), const_cast<void*>(host_outputs_[i].raw()), most, rows,
                    row_bytes(value.type));
  }
  simt::copy_rows(stream_.handle(), status_.get(), host_status_.get(), 1, nullptr, status_bytes_);
}

void DeviceSide::end(const Plan& plan, const std::vector<Tensor>& values) const {
  deliver(plan, values);
  stream_.synchronize();
}

// What comes before the steps, the steps, and what comes behind them.
Recording DeviceSide::record(const Plan& plan, const std::vector<Tensor>& values,
                             const std::function<void(std::size_t step)>& launch) const {
  const std::size_t last = plan.steps.size() + 1;
  PartOrder after(last + 1);
  std::vector<bool> is_waited_for(last);
  const PartOrder steps = step_waits(plan);
  for (std::size_t s = 0; s < steps.size(); ++s) {
    for (const std::size_t before : steps[s]) after[s + 1].push_back(before + 1);
    if (after[s + 1].empty()) after[s + 1].push_back(0);
    for (const std::size_t before : after[s + 1]) is_waited_for[before] = true;
  }
  for (std::size_t part = 0; part < last; ++part)
    if (!is_waited_for[part]) after[last].push_back(part);
  return stream_.record(after, [&](std::size_t part) {
    if (part == 0) return begin();
    if (part == last) return deliver(plan, values);
    launch(part - 1);
  });
}

void DeviceSide::run(const Plan& plan, const std::vector<Tensor>& values,
                     const std::function<void(std::size_t step)>& launch) {
  // The first run is not recorded: libraries make ready then what cannot be made while work is recorded.
  if (!has_run_) {
    begin();
    for (std::size_t s = 0; s < plan.steps.size(); ++s) launch(s);
    deliver(plan, values);
  } else {
    if (!recording_) recording_ = record(plan, values, launch);
    stream_.replay(recording_);
  }
  stream_.synchronize();
  has_run_ = true;
}

Tensor DeviceSide::output(const Plan& plan, std::size_t i) const {
  const PlannedValue& value = plan.values[plan.outputs[i]];
  Tensor output = host_outputs_[i];
  if (value.rows >= 0) output.set_rows(rows(static_cast<std::size_t>(value.rows)));
  return output;
}

}  // namespace d2deploy
