#include "runtime/session.h"

#include <algorithm>

#include "core/device.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

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

void Session::Impl::bind(std::shared_ptr<const Plan> plan) {
  if (frame && &frame->plan() == plan.get()) return;
  frame.reset();
  if (plan->arena_bytes > arena_bytes) {
    arena.reset();  // before the new one is taken: never both at once, unless a caller keeps outputs
    arena_bytes = 0;
    arena = allocate(net().plan_options.context.device, plan->arena_bytes);
    arena_bytes = plan->arena_bytes;
  }
  profile = unused_profile(*plan);  // before there is a frame that it would not belong to
  try {
    frame = std::make_unique<Frame>(std::move(plan), arena, net().constants, net().plan_options);
  } catch (...) {  // for lack of memory: a run of a smaller input may need what this holds
    arena.reset();
    arena_bytes = 0;
    throw;
  }
}

void Session::Impl::note_profile(std::size_t s, double milliseconds) {
  const Step& step = frame->plan().steps[s];
  const Call& call = frame->call(s);
  NodeProfile& p = profile[s];
  p.milliseconds += milliseconds;
  p.shape = to_string(call.output(0).shape());
  for (std::size_t i = 0; i < p.outputs.size(); ++i) p.outputs[i].second = call.output(i).shape();
  ++p.runs;
  Types inputs, outputs;
  for (const auto* t : call.inputs) inputs.push_back(t->type());
  for (const auto* t : call.outputs) outputs.push_back(t->type());
  const Work work = work_of(*step.op, step.params, {inputs, call.inputs}, outputs);
  p.flops = work.flops;
  p.bytes = work.bytes;
}

Tensors Session::Impl::collect(const TypeMap& types) const {
  Tensors outputs;
  const std::int64_t images = types.contains("data") ? types.at("data").shape[0] : 1;
  for (std::size_t i = 0; i < net().graph.outputs.size(); ++i) {
    const auto& name = net().graph.outputs[i];
    const Tensor tensor = frame->output(i);
    if (i < net().outputs.size()) outputs[name] = tensor;  // the passes add theirs behind those of the file
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

Tensors Session::Impl::run(const Tensors& given, const Fills& fills) {
  const ThreadScope threads(net().options.threads);
  TypeMap types;
  for (const auto& [name, tensor] : given) types[name] = tensor.type();
  for (const auto& [name, fill] : fills) types[name] = fill.type;
  types = net().check_inputs(types);
  const Device device = net().plan_options.context.device;
  const Tensors inputs = device.kind == Device::cpu ? in_float32(given, types) : given;
  if (net().caffe2) return net().caffe2->run(inputs, net().outputs);
  const DeviceScope scope(device);
  bind(net().plan(types));
  try {
    frame->set_inputs(inputs, fills);
    if (profiling)
      frame->run_timed([this](std::size_t s, double milliseconds) { note_profile(s, milliseconds); });
    else
      frame->run();
  } catch (...) {
    frame->wait();  // what is under way reads the caller's memory
    throw;
  }
  return collect(types);
}

Session::Impl& impl_of(Session& session) { return *session.impl_; }

Tensors Session::run(const Tensors& given) {
  return guarded([&] { return impl_->run(given); });
}

void Session::set_profiling(bool on) {
  if (on)
    guarded([&] { impl_->profile = impl_->frame ? unused_profile(impl_->frame->plan()) : std::vector<NodeProfile>(); });
  impl_->profiling = on;
}

std::vector<NodeProfile> Session::profile() const {
  return guarded([&] { return impl_->profile; });
}

}  // namespace d2deploy
