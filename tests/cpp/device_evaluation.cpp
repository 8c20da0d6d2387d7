#include "device_evaluation.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace d2deploy::testing {

namespace {

// The inputs that share their first dimension with the output, or with input 0 where the run finds the output's rows.
std::vector<bool> inputs_with_rows(const Operator& op, const std::vector<Tensor>& inputs) {
  std::vector<bool> result(inputs.size());
  const auto ports = ports_of(op.inputs, inputs.size());
  const auto word = [](const Port& p) { return p.dims.empty() ? std::string() : p.dims[0].symbol; };
  const std::string wanted = word(op.outputs[0]);
  std::size_t first = 0;
  while (first < inputs.size() && word(*ports[first]) != wanted) ++first;
  if (first == inputs.size()) {
    first = 0;
    // Then others may have to follow whose rows the signature does not tell.
    const auto untold = [](const Port* p) { return p->any_shape; };
    if (!inputs.empty() && !untold(ports[0]) && std::ranges::any_of(ports, untold)) return result;
  }
  for (std::size_t i = 0; i < inputs.size(); ++i)
    result[i] = inputs[i].shape().rank() > 0 && inputs[first].shape().rank() > 0 &&
                inputs[i].dim(0) == inputs[first].dim(0) && word(*ports[i]) == word(*ports[first]);
  return result;
}

Types types_of(const std::vector<Tensor>& tensors) {
  Types types;
  for (const auto& t : tensors) types.push_back(t.type());
  return types;
}

}  // namespace

bool can_have_spare_rows(const Operator& op, const Args& args, const std::vector<Tensor>& inputs,
                         std::int64_t spare_rows) {
  const auto spare = inputs_with_rows(op, inputs);
  const auto first = std::ranges::find(spare, true);
  if (first == spare.end()) return false;
  const std::int64_t most = inputs[static_cast<std::size_t>(first - spare.begin())].dim(0) + spare_rows;
  const Parameters params = op.parse(args);
  const auto types_with = [&](std::int64_t rows) {
    Types types = types_of(inputs);
    std::vector<const Tensor*> values;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (spare[i]) types[i].shape[0] = rows;
      values.push_back(spare[i] ? nullptr : &inputs[i]);
    }
    return infer_all(op, params, {types, values});
  };
  Types full, open;
  try {
    full = types_with(most);
    open = types_with(kUnknown);
  } catch (const Error&) {  // they do not fit the other inputs
    return false;
  }
  const auto ports = ports_of(op.outputs, full.size());
  for (std::size_t i = 0; i < full.size(); ++i) {
    if (!ports[i]->rows_found().empty() || open[i] == full[i]) continue;
    if (open[i].shape.rank() == 0 || open[i].shape[0] != kUnknown || full[i].shape[0] != most) return false;
    open[i].shape[0] = most;
    if (open[i] != full[i]) return false;
  }
  return true;
}

// A tensor of the device between guard bands, with its row slot.
struct DeviceEvaluation::Value {
  static constexpr std::size_t kBand = 256;
  Tensor tensor;
  std::shared_ptr<void> memory, slot;

  Value(const TensorType& type, const Stream& stream)
      : memory(allocate(stream.device(), static_cast<std::size_t>(type.bytes()) + 2 * kBand)) {
    const std::vector<std::uint8_t> nan(static_cast<std::size_t>(type.bytes()) + 2 * kBand, 0xFF);
    stream.copy(memory.get(), stream.device(), nan.data(), {}, nan.size());
    stream.synchronize();
    tensor = Tensor::share(type, static_cast<std::byte*>(memory.get()) + kBand, memory, stream.device());
  }

  void add_slot(std::int32_t rows, const Stream& stream) {
    slot = allocate(stream.device(), sizeof(rows));
    stream.copy(slot.get(), stream.device(), &rows, {}, sizeof(rows));
    stream.synchronize();
  }
  std::int32_t* slot_pointer() const { return static_cast<std::int32_t*>(slot.get()); }
};

DeviceEvaluation::DeviceEvaluation(Device device, const Operator& op, const Args& args,
                                   const std::vector<Tensor>& inputs, const std::vector<bool>& constant,
                                   std::int64_t spare_rows)
    : op_(op),
      params_(op.parse(args)),
      inputs_(inputs),
      spare_(spare_rows > 0 ? inputs_with_rows(op, inputs) : std::vector<bool>(inputs.size())),
      input_types_(types_of(inputs)),
      stream_(device) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    constants_.push_back(constant[i] ? std::make_unique<Constant>(inputs[i]) : nullptr);
    constant_pointers_.push_back(constants_.back().get());
    if (spare_[i]) input_types_[i].shape[0] += spare_rows;
  }
  std::vector<const Tensor*> values;
  for (const auto& t : inputs_) values.push_back(&t);
  actual_types_ = infer_all(op, params_, {types_of(inputs_), values});
  output_types_ = infer_all(op, params_, {input_types_, values});
}

CallSite DeviceEvaluation::site() const {
  const bool bounded = std::ranges::find(spare_, true) != spare_.end();
  return {input_types_, output_types_, constant_pointers_, bounded, {stream_.device(), stream_.handle(), 1}};
}

std::vector<DeviceEvaluation::Value> DeviceEvaluation::upload() const {
  std::vector<Value> values;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    Value& value = values.emplace_back(input_types_[i], stream_);
    stream_.copy(value.tensor.raw(), stream_.device(), inputs_[i].raw(), {},
                 static_cast<std::size_t>(inputs_[i].bytes()));
    stream_.synchronize();
    if (spare_[i]) value.add_slot(static_cast<std::int32_t>(inputs_[i].dim(0)), stream_);
  }
  return values;
}

std::vector<DeviceEvaluation::Value> DeviceEvaluation::make_outputs() const {
  std::vector<Value> values;
  const auto ports = ports_of(op_.outputs, output_types_.size());
  for (std::size_t i = 0; i < output_types_.size(); ++i) {
    Value& value = values.emplace_back(output_types_[i], stream_);
    if (!ports[i]->rows_found().empty()) value.add_slot(-1, stream_);
  }
  return values;
}

Tensor DeviceEvaluation::download(const Value& value, const TensorType& actual) const {
  TensorType type = actual;
  if (value.slot != nullptr) {
    std::int32_t rows = 0;
    stream_.copy(&rows, {}, value.slot.get(), stream_.device(), sizeof(rows));
    stream_.synchronize();
    const std::int64_t most = value.tensor.dim(0);
    check<InternalError>(rows >= 0 && rows <= most, "the kernel says that ", rows, " of ", most, " rows are there");
    type.shape[0] = rows;
  }
  const Tensor all = copy_to({}, value.tensor, stream_);
  std::array<std::uint8_t, 2 * Value::kBand> bands{};
  const auto* memory = static_cast<const std::byte*>(value.memory.get());
  stream_.copy(bands.data(), {}, memory, stream_.device(), Value::kBand);
  stream_.copy(bands.data() + Value::kBand, {}, memory + Value::kBand + value.tensor.bytes(), stream_.device(),
               Value::kBand);
  stream_.synchronize();
  check<InternalError>(std::ranges::all_of(bands, [](auto b) { return b == 0xFF; }), "the kernel wrote outside of ",
                       value.tensor.type().shape);
  return all.with_type(type);
}

std::vector<Tensor> DeviceEvaluation::run(const Kernel& kernel, bool in_place) const {
  const CallSite where = site();
  const Prepared prepared = kernel.prepare(op_, params_, where);
  std::vector<Value> inputs = upload(), outputs = make_outputs();
  if (in_place) outputs[0] = inputs[0];
  std::vector<const Tensor*> in;
  std::vector<Tensor*> out;
  std::vector<const std::int32_t*> in_rows;
  std::vector<std::int32_t*> out_rows;
  for (const auto& v : inputs) {
    in.push_back(&v.tensor);
    in_rows.push_back(v.slot_pointer());
  }
  for (const auto i : prepared.packed) in[i] = nullptr;
  for (auto& v : outputs) {
    out.push_back(&v.tensor);
    out_rows.push_back(v.slot_pointer());
  }
  const auto fault_memory = allocate(stream_.device(), sizeof(DeviceFault));
  stream_.clear(fault_memory.get(), sizeof(DeviceFault));
  const auto scratch = allocate(stream_.device(), prepared.scratch_bytes);
  kernel.run(params_, {where.context, in, out, in_rows, out_rows, scratch.get(), prepared.state.get(),
                       static_cast<DeviceFault*>(fault_memory.get())});
  DeviceFault fault;
  stream_.copy(&fault, {}, fault_memory.get(), stream_.device(), sizeof(fault));
  stream_.synchronize();
  kernel.report(params_, where, fault);
  std::vector<Tensor> results;
  for (std::size_t i = 0; i < outputs.size(); ++i) results.push_back(download(outputs[i], actual_types_[i]));
  return results;
}

}  // namespace d2deploy::testing
