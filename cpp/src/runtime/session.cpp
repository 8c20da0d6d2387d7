// Runs plans, step by step, in memory of its own.
#include <algorithm>
#include <chrono>

#include "core/memory.h"
#include "core/threads.h"
#include "runtime/model.h"

namespace d2deploy {

namespace {

using Clock = std::chrono::steady_clock;

// The tensors of one plan in the memory of one session.
struct Frame {
  std::shared_ptr<const Plan> plan;
  std::vector<Tensor> values;
  std::vector<std::vector<const Tensor*>> inputs;  // per step
  std::vector<std::vector<Tensor*>> outputs;
};

// The inputs with images that came as bytes in float32.
Tensors in_float32(const Tensors& given, const TypeMap& wanted) {
  Tensors inputs = given;
  for (auto& [name, tensor] : inputs) {
    if (tensor.dtype() == wanted.at(name).dtype) continue;
    Tensor converted = Tensor::allocate(wanted.at(name));
    std::ranges::copy(tensor.values<std::uint8_t>(), converted.data<float>());
    tensor = converted;
  }
  return inputs;
}

}  // namespace

struct Session::Impl {
  std::shared_ptr<const Model> model;
  std::shared_ptr<void> arena;
  std::size_t arena_bytes = 0;
  Frame frame;
  bool profiling = false;
  std::vector<NodeProfile> profile;  // per step of the frame's plan

  const Model::Impl& net() const { return impl_of(*model); }

  std::byte* memory() const { return static_cast<std::byte*>(arena.get()); }

  TypeMap check_inputs(const Tensors& given) const;
  void bind(std::shared_ptr<const Plan> plan);
  void start_profile();
  void note_profile(std::size_t s, double milliseconds);
  void run_step(std::size_t s);
  void prepare_and_run(std::size_t s);
  void settle_outputs(std::size_t s);
  Tensors collect(const Tensors& given) const;
  Tensors run(const Tensors& given);
};

TypeMap Session::Impl::check_inputs(const Tensors& given) const {
  TypeMap types;
  for (const auto& name : net().graph.inputs) {
    const auto it = given.find(name);
    check(it != given.end(), "input '", name, "' is missing; wanted: ", list_of(net().graph.inputs));
    const TensorType& declared = net().graph.input_types.at(name);
    const TensorType& type = it->second.type();
    const bool image = type.dtype == DType::uint8 && declared.dtype == DType::float32;  // images may come as bytes
    check(type.dtype == declared.dtype || image, "input '", name, "' is ", type.dtype, ", wanted ", declared.dtype);
    check(type.layout == Layout::row_major, "input '", name, "' must be row-major");
    bool fits = type.shape.rank() == declared.shape.rank();
    for (std::size_t i = 0; fits && i < type.shape.rank(); ++i)
      fits = type.shape[i] >= 1 && (declared.shape[i] == kUnknown || declared.shape[i] == type.shape[i]);
    check(fits, "input '", name, "' is ", type.shape, ", wanted ", declared.shape, " with no dimension of 0");
    types[name] = {declared.dtype, type.shape, Layout::row_major};
  }
  for (const auto& [name, tensor] : given)
    check(types.contains(name), "there is no input '", name, "'; wanted: ", list_of(net().graph.inputs));
  return types;
}

void Session::Impl::bind(std::shared_ptr<const Plan> plan) {
  if (frame.plan == plan) return;
  if (plan->arena_bytes > arena_bytes) {
    frame = {};
    arena.reset();  // before the new one is taken: never both at once
    arena_bytes = 0;
    arena = allocate(plan->arena_bytes);
    arena_bytes = plan->arena_bytes;
  }
  Frame f;
  f.values.resize(plan->values.size());
  for (std::size_t v = 0; v < plan->values.size(); ++v) {
    const PlannedValue& value = plan->values[v];
    const PlannedValue& root = plan->values[value.root];
    // A constant that every kernel has packed has a type here, but no plain values.
    if (value.place == PlannedValue::Place::constant)
      f.values[v] = value.constant.raw() ? value.constant : Tensor::view(value.type, nullptr);
    if (root.place == PlannedValue::Place::arena) f.values[v] = Tensor::view(value.type, memory() + root.offset);
  }
  for (const Step& step : plan->steps) {
    auto& inputs = f.inputs.emplace_back();
    for (const auto v : step.inputs) inputs.push_back(&f.values[v]);
    auto& outputs = f.outputs.emplace_back();
    for (const auto v : step.outputs) outputs.push_back(&f.values[v]);
  }
  f.plan = std::move(plan);
  frame = std::move(f);
  start_profile();
}

void Session::Impl::start_profile() {
  profile.clear();
  if (!frame.plan) return;
  for (const Step& step : frame.plan->steps) {
    NodeProfile p;
    p.type = step.op->type;
    p.output = frame.plan->values[step.outputs[0]].name;
    p.kernel = step.kernel ? step.kernel->name : "view";
    if (!step.prepared.detail.empty()) p.kernel += "/" + step.prepared.detail;
    p.flops = step.work.flops;
    p.bytes = step.work.bytes;
    profile.push_back(std::move(p));
  }
}

void Session::Impl::note_profile(std::size_t s, double milliseconds) {
  const Step& step = frame.plan->steps[s];
  NodeProfile& p = profile[s];
  p.milliseconds += milliseconds;
  p.shape = to_string(frame.outputs[s][0]->shape());
  ++p.runs;
  if (!step.infer_at_run) return;
  Types inputs, outputs;
  for (const auto* t : frame.inputs[s]) inputs.push_back(t->type());
  for (const auto* t : frame.outputs[s]) outputs.push_back(t->type());
  const Work work = work_of(*step.op, step.params, {inputs, frame.inputs[s]}, outputs);
  p.flops = work.flops;
  p.bytes = work.bytes;
}

// Shapes of the outputs where they depend on data, and memory where its size does.
void Session::Impl::settle_outputs(std::size_t s) {
  const Step& step = frame.plan->steps[s];
  Types inputs;
  for (const auto* t : frame.inputs[s]) inputs.push_back(t->type());
  const auto types = infer(*step.op, step.params, {inputs, frame.inputs[s]}, step.outputs.size());
  for (std::size_t i = 0; i < step.outputs.size(); ++i) {
    const PlannedValue& value = frame.plan->values[step.outputs[i]];
    const PlannedValue& root = frame.plan->values[value.root];
    Tensor& tensor = *frame.outputs[s][i];
    if (step.op->is(view) && i == 0) {
      tensor = frame.inputs[s][0]->with_type(types[i]);
    } else if (root.place == PlannedValue::Place::arena) {
      check<InternalError>(types[i].bytes() <= value.type.bytes(), "output ", i, " has shape ", types[i].shape,
                           ", planned was ", value.type.shape);
      tensor = Tensor::view(types[i], memory() + root.offset);
    } else {
      check_size(types[i], net().options.max_tensor_bytes);
      tensor = Tensor::allocate(types[i]);
    }
  }
}

void Session::Impl::run_step(std::size_t s) {
  const Step& step = frame.plan->steps[s];
  if (step.infer_at_run || step.op->is(view)) settle_outputs(s);
  if (step.kernel == nullptr) return;
  const bool nothing_to_do = !step.op->is(data_dependent) &&
                             std::ranges::all_of(frame.outputs[s], [](const Tensor* t) { return t->size() == 0; });
  if (nothing_to_do) return;
  if (step.prepare_at_run) return prepare_and_run(s);
  step.kernel->run(step.params,
                   {frame.inputs[s], frame.outputs[s], memory() + step.scratch_offset, step.prepared.state.get()});
}

// A step whose shapes have no bound: state and scratch are made for those of this run.
void Session::Impl::prepare_and_run(std::size_t s) {
  const Step& step = frame.plan->steps[s];
  Types inputs, outputs;
  std::vector<Constant*> constants;
  for (const auto* t : frame.inputs[s]) inputs.push_back(t->type());
  for (const auto* t : frame.outputs[s]) outputs.push_back(t->type());
  for (const auto v : step.inputs) {
    const PlannedValue& value = frame.plan->values[v];
    constants.push_back(value.place == PlannedValue::Place::constant ? net().constants.at(value.name).get() : nullptr);
  }
  const CallSite site{inputs, outputs, constants, false, net().options.threads};
  const auto why = step.kernel->reject(step.params, site);
  check<Unsupported>(why.empty(), "kernel ", step.kernel->name, " does not take this call: ", why);
  const Prepared prepared = step.kernel->prepare(step.params, site);
  const auto scratch = allocate(prepared.scratch_bytes);
  step.kernel->run(step.params, {frame.inputs[s], frame.outputs[s], scratch.get(), prepared.state.get()});
}

Tensors Session::Impl::collect(const Tensors& given) const {
  Tensors outputs;
  const std::size_t images = given.contains("data") ? static_cast<std::size_t>(given.at("data").dim(0)) : 1;
  for (std::size_t i = 0; i < net().graph.outputs.size(); ++i) {
    const auto& name = net().graph.outputs[i];
    const Tensor& tensor = frame.values[frame.plan->outputs[i]];
    if (std::ranges::find(net().outputs, name) != net().outputs.end()) outputs[name] = tensor;
    if (name == net().splits && images > 1) outputs["batch_splits"] = tensor;
  }
  return outputs;
}

Session::Session(std::shared_ptr<const Model> model) : impl_(guarded([] { return std::make_unique<Impl>(); })) {
  check(model != nullptr, "a session needs a model, got none");
  impl_->model = std::move(model);
}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Tensors Session::Impl::run(const Tensors& given) {
  const ThreadScope threads(net().options.threads);
  const TypeMap types = check_inputs(given);
  const Tensors inputs = in_float32(given, types);
  if (net().caffe2) return net().caffe2->run(inputs, net().outputs);
  bind(net().plan(types));
  for (const auto& [name, v] : frame.plan->inputs) frame.values[v] = inputs.at(name);
  for (std::size_t s = 0; s < frame.plan->steps.size(); ++s) {
    const auto start = profiling ? Clock::now() : Clock::time_point();
    try {
      run_step(s);
    } catch (const std::exception&) {
      rethrow_with_context(frame.plan->steps[s].label);
    }
    if (!profiling) continue;
    note_profile(s, std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  return collect(inputs);
}

Tensors Session::run(const Tensors& given) {
  return guarded([&] { return impl_->run(given); });
}

void Session::set_profiling(bool on) {
  guarded([&] { impl_->start_profile(); });
  impl_->profiling = on;
}

std::vector<NodeProfile> Session::profile() const {
  return guarded([&] { return impl_->profile; });
}

}  // namespace d2deploy
