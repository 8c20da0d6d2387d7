#include "runtime/frame.h"

#include <algorithm>
#include <chrono>

#include "core/memory.h"

namespace d2deploy {

namespace {

using Place = PlannedValue::Place;

// The planned kernel, or, where it does not take the call, the nearest in the list that is better and does.
const Kernel& late_kernel(const Step& step, const CallSite& site) {
  std::string why;
  for (const Kernel* k = step.kernel; k >= step.op->kernels.data(); --k)
    if (why = k->reject(*step.op, step.params, site); why.empty()) return *k;
  fail<Unsupported>("no kernel takes this call: ", why);
}

}  // namespace

Frame::Frame(std::shared_ptr<const Plan> plan, std::shared_ptr<void> arena, const Constants& constants,
             const PlanOptions& options)
    : plan_(std::move(plan)), arena_(std::move(arena)), constants_(constants), options_(options) {
  auto* memory = static_cast<std::byte*>(arena_.get());
  const Device device = options_.context.device;
  if (device.kind != Device::cpu) device_ = std::make_unique<DeviceSide>(*plan_, device);
  values_.resize(plan_->values.size());
  for (std::size_t v = 0; v < values_.size(); ++v) {
    const PlannedValue& value = plan_->values[v];
    const PlannedValue& root = plan_->values[value.root];
    // A constant that every kernel has packed has a type here, but no plain values.
    if (value.place == Place::constant)
      values_[v] = value.constant.raw() ? value.constant : Tensor::view(value.type, nullptr);
    else if (root.place == Place::constant && root.constant.raw())
      values_[v] = root.constant.with_type(value.type);
    else if (root.place == Place::arena)
      values_[v] = Tensor::view(value.type, memory + root.offset, device);
    else if (device_ != nullptr && root.place == Place::input)
      values_[v] = device_->input(value.root).with_type(value.type);
  }
  rows_.resize(plan_->rows.size());
  point_calls();
}

Frame::~Frame() = default;

void Frame::point_calls() {
  std::size_t inputs = 0, outputs = 0;
  for (const Step& step : plan_->steps) {
    inputs += step.inputs.size();
    outputs += step.outputs.size();
  }
  // Reserved: the calls hold addresses.
  inputs_.reserve(inputs);
  outputs_.reserve(outputs);
  input_rows_.reserve(inputs);
  output_rows_.reserve(outputs);
  for (const Step& step : plan_->steps) {
    Call call;
    call.context = options_.context;
    if (device_ != nullptr) {
      call.context.stream = device_->stream().handle();
      call.fault = device_->fault(calls_.size());
    }
    for (const auto v : step.inputs) {
      const int slot = plan_->values[v].rows;
      inputs_.push_back(&values_[v]);
      input_rows_.push_back(slot >= 0 && device_ ? device_->row_slot(static_cast<std::size_t>(slot)) : nullptr);
    }
    for (const auto v : step.outputs) {
      const int slot = plan_->values[v].rows;
      const bool written = slot >= 0 && std::ranges::count(step.writes, static_cast<std::size_t>(slot)) != 0;
      outputs_.push_back(&values_[v]);
      const auto at = static_cast<std::size_t>(slot);
      output_rows_.push_back(!written ? nullptr : device_ ? device_->row_slot(at) : &rows_[at]);
    }
    call.inputs = std::span(inputs_).last(step.inputs.size());
    call.outputs = std::span(outputs_).last(step.outputs.size());
    call.input_rows = std::span(input_rows_).last(step.inputs.size());
    call.output_rows = std::span(output_rows_).last(step.outputs.size());
    call.scratch = static_cast<std::byte*>(arena_.get()) + step.scratch_offset;
    call.state = step.prepared.state.get();
    calls_.push_back(call);
  }
}

void Frame::set_inputs(const std::map<std::string, Tensor>& inputs, const Fills& fills) {
  if (device_ != nullptr) return device_->upload(*plan_, inputs, fills);
  for (const auto& [name, v] : plan_->inputs) values_[v] = inputs.at(name);
  for (std::size_t v = 0; v < values_.size(); ++v) {
    const PlannedValue& value = plan_->values[v];
    if (value.place == Place::alias && plan_->values[value.root].place == Place::input && value.type.shape.known())
      values_[v] = values_[value.root].with_type(value.type);
  }
}

void Frame::run() {
  if (device_ == nullptr) {
    for (std::size_t s = 0; s < plan_->steps.size(); ++s) run_step(s);
    return;
  }
  device_->run(*plan_, values_, [this](std::size_t s) { launch_step(s); });
  report_faults();
}

void Frame::run_timed(const std::function<void(std::size_t s, double milliseconds)>& note) {
  using Clock = std::chrono::steady_clock;
  if (device_ != nullptr) device_->begin();
  for (std::size_t s = 0; s < plan_->steps.size(); ++s) {
    if (device_ == nullptr) {
      const auto start = Clock::now();
      run_step(s);
      note(s, std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    } else {
      Event begin(options_.context.device), end(options_.context.device);
      begin.record(device_->stream());
      launch_step(s);
      end.record(device_->stream());
      note(s, end.milliseconds_since(begin));
    }
  }
  if (device_ == nullptr) return;
  device_->end(*plan_, values_);
  report_faults();
}

const Stream& Frame::stream() const { return device_->stream(); }

void Frame::wait() const {
  if (device_ != nullptr) device_->stream().synchronize();
}

// What can have no rows is not launched; how many there are is not known here.
void Frame::launch_step(std::size_t s) {
  const Step& step = plan_->steps[s];
  if (step.kernel == nullptr) return;
  const auto& outputs = calls_[s].outputs;
  if (step.writes.empty() && std::ranges::all_of(outputs, [](const Tensor* t) { return t->size() == 0; })) return;
  try {
    step.kernel->run(step.params, calls_[s]);
  } catch (const std::exception&) {
    rethrow_with_context(step.label);
  }
}

// What kernels found wrong with their data, the first step first: the others worked on what it left.
void Frame::report_faults() const {
  for (std::size_t s = 0; s < plan_->steps.size(); ++s) {
    const DeviceFault& fault = device_->found_fault(s);
    if (fault.code == 0) continue;
    const Step& step = plan_->steps[s];
    Types inputs, outputs;
    for (const auto* t : calls_[s].inputs) inputs.push_back(t->type());
    for (const auto* t : calls_[s].outputs) outputs.push_back(t->type());
    try {
      step.kernel->report(step.params, {inputs, outputs, {}, true, options_.context}, fault);
    } catch (const std::exception&) {
      rethrow_with_context(step.label);
    }
  }
  for (std::size_t r = 0; r < plan_->rows.size(); ++r)
    check<InternalError>(device_->rows(r) >= 0 && device_->rows(r) <= plan_->rows[r].most, "a step gave ",
                         device_->rows(r), " rows, planned were ", plan_->rows[r].most);
}

void Frame::run_step(std::size_t s) {
  const Step& step = plan_->steps[s];
  try {
    if (step.late) return run_late(s);
    if (step.kernel == nullptr) return;
    const bool nothing_to_do =
        step.writes.empty() && std::ranges::all_of(calls_[s].outputs, [](const Tensor* t) { return t->size() == 0; });
    if (nothing_to_do) return;
    step.kernel->run(step.params, calls_[s]);
    for (const auto slot : step.writes) {
      const std::int32_t rows = rows_[slot];
      check<InternalError>(rows >= 0 && rows <= plan_->rows[slot].most, "gave ", rows, " rows, planned were ",
                           plan_->rows[slot].most);
      for (const auto v : plan_->rows[slot].values) values_[v].set_rows(rows);
    }
  } catch (const std::exception&) {
    rethrow_with_context(step.label);
  }
}

// Shapes and memory of the outputs of a late step.
void Frame::settle(std::size_t s) {
  const Step& step = plan_->steps[s];
  const Call& call = calls_[s];
  Types inputs;
  for (const auto* t : call.inputs) inputs.push_back(t->type());
  const auto types = infer(*step.op, step.params, {inputs, call.inputs}, step.outputs.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (step.op->is(view) && i == 0) {
      call.output(0) = call.input(0).with_type(types[0]);
    } else {
      check_size(types[i], options_.max_tensor_bytes);
      call.output(i) = Tensor::allocate(types[i]);
    }
  }
}

void Frame::run_late(std::size_t s) {
  const Step& step = plan_->steps[s];
  settle(s);
  if (step.kernel == nullptr) return;
  Call call = calls_[s];
  const bool nothing_to_do =
      !step.op->is(data_dependent) && std::ranges::all_of(call.outputs, [](const Tensor* t) { return t->size() == 0; });
  if (nothing_to_do) return;
  Types inputs, outputs;
  std::vector<Constant*> constants;
  for (const auto* t : call.inputs) inputs.push_back(t->type());
  for (const auto* t : call.outputs) outputs.push_back(t->type());
  for (const auto v : step.inputs) {
    const PlannedValue& value = plan_->values[v];
    constants.push_back(value.place == Place::constant ? constants_.at(value.name).get() : nullptr);
  }
  const CallSite site{inputs, outputs, constants, false, options_.context};
  const Kernel& kernel = late_kernel(step, site);
  const Prepared prepared = kernel.prepare(*step.op, step.params, site);
  const auto scratch = allocate(prepared.scratch_bytes);
  call.scratch = scratch.get();
  call.state = prepared.state.get();
  kernel.run(step.params, call);
}

Tensor Frame::output(std::size_t i) const {
  if (device_ != nullptr) return device_->output(*plan_, i);
  const std::size_t v = plan_->outputs[i];
  const Tensor& value = values_[v];
  if (plan_->values[plan_->values[v].root].place != Place::arena) return value;
  return Tensor::share(value.type(), const_cast<void*>(value.raw()), arena_, value.device());
}

}  // namespace d2deploy
