#include "operators/widened.h"

#include <algorithm>

#include "core/element_type.h"
#include "core/memory.h"
#include "kernels/convert.h"

namespace d2deploy {

namespace {

// What stands at `real` ports, in a reduced type: where its float32 copy is in the scratch memory.
struct Copy {
  std::size_t index, offset;
};

struct State {
  Prepared wide;
  std::vector<Copy> inputs, outputs;
};

bool reduced(const Port& port, const TensorType& type) {
  return port.real && (type.dtype == DType::bfloat16 || type.dtype == DType::float16 || is_quantised(type));
}

TensorType in_float32(TensorType type) {
  type.dtype = DType::float32;
  type.scale = 0;
  return type;
}

// Lists the copies among `types`, makes those types float32, and adds up their bytes.
std::vector<Copy> widen(const std::vector<Port>& ports, Types& types, std::size_t& bytes) {
  std::vector<Copy> copies;
  const auto of = ports_of(ports, types.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (!reduced(*of[i], types[i])) continue;
    types[i] = in_float32(types[i]);
    copies.push_back({i, bytes});
    bytes += align_up(static_cast<std::size_t>(types[i].bytes()));
  }
  return copies;
}

Tensor copy_of(const Tensor& narrow, void* memory) { return Tensor::view(in_float32(narrow.type()), memory); }

}  // namespace

Kernel widened(const Kernel& portable) {
  Kernel kernel;
  kernel.name = portable.name + "_widened";
  kernel.backend = portable.backend;
  kernel.wide = std::make_shared<const Kernel>(portable);
  return kernel;
}

Prepared prepare_widened(const Kernel& portable, const Operator& op, const Parameters& params, const CallSite& site) {
  const auto state = std::make_shared<State>();
  Types inputs(site.inputs.begin(), site.inputs.end()), outputs(site.outputs.begin(), site.outputs.end());
  std::vector<Constant*> constants(site.constants.begin(), site.constants.end());
  std::size_t bytes = 0;
  state->inputs = widen(op.inputs, inputs, bytes);
  state->outputs = widen(op.outputs, outputs, bytes);
  for (const Copy& c : state->inputs)
    if (c.index < constants.size()) constants[c.index] = nullptr;  // its values have the other type
  state->wide = portable.prepare(op, params, {inputs, outputs, constants, site.bounded, site.context});
  Prepared prepared;
  prepared.scratch_bytes = bytes + state->wide.scratch_bytes;
  prepared.packed = state->wide.packed;
  prepared.detail = state->wide.detail;
  for (auto* copies : {&state->inputs, &state->outputs})  // the kernel's own scratch memory comes first
    for (Copy& c : *copies) c.offset += align_up(state->wide.scratch_bytes);
  prepared.scratch_bytes = bytes + align_up(state->wide.scratch_bytes);
  prepared.state = state;
  return prepared;
}

void run_widened(const Kernel& portable, const Parameters& params, const Call& call) {
  const auto& state = *static_cast<const State*>(call.state);
  auto* scratch = static_cast<std::byte*>(call.scratch);
  std::vector<Tensor> copies;
  copies.reserve(state.inputs.size() + state.outputs.size());
  std::vector<const Tensor*> inputs(call.inputs.begin(), call.inputs.end());
  std::vector<Tensor*> outputs(call.outputs.begin(), call.outputs.end());
  for (const Copy& c : state.inputs) {
    const Tensor& x = call.input(c.index);
    inputs[c.index] = &copies.emplace_back(copy_of(x, scratch + c.offset));
    convert(x, copies.back());
  }
  for (const Copy& c : state.outputs)
    outputs[c.index] = &copies.emplace_back(copy_of(call.output(c.index), scratch + c.offset));
  Call wide = call;
  wide.inputs = inputs;
  wide.outputs = outputs;
  wide.state = state.wide.state.get();
  portable.run(params, wide);
  for (const Copy& c : state.outputs) {
    Tensor& y = call.output(c.index);
    convert(*outputs[c.index], y);
  }
}

}  // namespace d2deploy
