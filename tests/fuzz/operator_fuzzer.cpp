// Bytes -> one operator's type, arguments and small inputs -> parse, infer, and every kernel that takes the call.
// D2DEPLOY_FUZZ_PRINT=1 prints the call as a case (case.h) before it runs; odd values may need a hand.
#include <algorithm>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>

#include "case.h"
#include "core/check.h"
#include "core/element_type.h"
#include "draw.h"
#include "kernels/reorder.h"
#include "operators/evaluate.h"

using namespace d2deploy;

namespace {

using fuzz::Choices;
using fuzz::draw_arg;
using fuzz::draw_dim;

// What a call may cost here; what asks for more is left alone, since plans bound it by other means.
constexpr std::int64_t kMostBytes = 1 << 20;
constexpr double kMostFlops = 1e7;

struct FuzzCall {
  const Operator* op = nullptr;
  Args args;
  std::vector<Tensor> inputs;
  std::vector<bool> constant;
};

// Mostly as the port wants it, equal letters equal; multiples of four where D stands, as the operators on boxes want.
Tensor draw_input(Choices& c, const Port& port, std::map<std::string, std::int64_t>& symbols) {
  constexpr std::size_t kWrong = 24;
  TensorType type;
  type.dtype = port.dtypes.empty() ? DType::float32 : port.dtypes[c.below(port.dtypes.size())];
  if (c.below(kWrong) == 0) type.dtype = static_cast<DType>(c.below(5));
  if (port.any_shape || c.below(kWrong) == 0) {
    const std::size_t rank = c.below(6);
    for (std::size_t i = 0; i < rank; ++i) type.shape.push_back(draw_dim(c));
  } else {
    for (const Dim& dim : port.dims) {
      if (dim.symbol.empty()) {
        type.shape.push_back(dim.alternatives[c.below(dim.alternatives.size())]);
        continue;
      }
      const auto [it, fresh] = symbols.emplace(dim.symbol, 0);
      if (fresh) it->second = dim.symbol == "D" ? 4 * draw_dim(c) : draw_dim(c);
      type.shape.push_back(it->second);
    }
    for (std::size_t i = 0, n = port.open_ended ? c.below(3) : 0; i < n; ++i) type.shape.push_back(draw_dim(c));
  }
  check(type.bytes() <= kMostBytes, "too large for here");
  Tensor tensor = Tensor::allocate(type);
  c.fill(tensor);
  return tensor;
}

FuzzCall draw_call(Choices& c) {
  FuzzCall call;
  const auto& all = operators();
  call.op = &std::next(all.begin(), static_cast<std::ptrdiff_t>(c.below(all.size())))->second;
  for (const auto& field : call.op->fields)
    if (!field.internal && c.below(4) == 1) call.args[field.name] = draw_arg(c, field.type_name);
  const std::size_t times = 1 + c.below(4);
  std::map<std::string, std::int64_t> symbols;
  for (const auto& port : call.op->inputs) {
    if (port.optional && c.below(2) == 0) break;
    for (std::size_t k = 0; k < (port.repeated ? times : 1); ++k) {
      call.inputs.push_back(draw_input(c, port, symbols));
      call.constant.push_back(c.below(2) == 1);
    }
  }
  return call;
}

std::string text_of(const FuzzCall& call) {
  std::ostringstream out;
  out << call.op->type;
  for (const auto& [name, value] : call.args) out << ' ' << name << '=' << to_text(value);
  out << " :";
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const Tensor& t = call.inputs[i];
    out << (call.constant[i] ? " !" : " ") << t.dtype() << ':';
    for (std::size_t d = 0; d < t.shape().rank(); ++d) out << (d ? "x" : "") << t.dim(d);
    if (t.shape().rank() == 0) out << "scalar";
    if (t.size() == 0) continue;
    for (std::int64_t k = 0; k < t.size(); ++k) {
      out << (k ? ',' : '=');
      with_element_type(t.dtype(), [&]<class T>(T) {
        if constexpr (kReal<T>)
          out << static_cast<float>(t.data<T>()[k]);
        else
          out << static_cast<std::int64_t>(t.data<T>()[k]);
      });
    }
  }
  return out.str();
}

void run_kernel(const FuzzCall& call, const Kernel& kernel, Layout layout) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const bool follows = !call.constant[i] || call.op->layout != LayoutRule::any;
    inputs.push_back(reordered(call.inputs[i], follows ? layout : Layout::row_major));
  }
  Evaluation evaluation(*call.op, call.args, inputs, call.constant);
  if (!evaluation.reject(kernel).empty()) return;
  evaluation.prepare(kernel);
  std::vector<Tensor> outputs;
  for (const auto& type : evaluation.output_types()) outputs.push_back(Tensor::allocate(type));
  evaluation.run(outputs);
}

void run(std::span<const std::uint8_t> bytes) {
  Choices choices(bytes);
  const FuzzCall call = draw_call(choices);
  if (std::getenv("D2DEPLOY_FUZZ_PRINT") != nullptr) std::cerr << text_of(call) << std::endl;
  const Parameters params = call.op->parse(call.args);
  const Evaluation probe(*call.op, call.args, call.inputs, call.constant);
  Types types;
  for (const auto& t : call.inputs) types.push_back(t.type());
  for (const auto& t : probe.output_types())
    if (t.bytes() > kMostBytes) return;
  if (call.op->flops(params, {types, {}}, probe.output_types()) > kMostFlops) return;
  (void)call.op->meaning(params, call.inputs.size());
  if (call.op->is(view)) {
    (void)evaluate(*call.op, call.args, call.inputs);
    return;
  }
  const bool both = call.op->layout != LayoutRule::row_major;
  for (const auto& kernel : call.op->kernels) {
    if (device_of(kernel.backend) != Device::cpu) continue;
    fuzz::allow_errors([&] { run_kernel(call, kernel, Layout::row_major); });
    if (both) fuzz::allow_errors([&] { run_kernel(call, kernel, Layout::channels_last); });
  }
}

// Types as a plan sees them, with dimensions that are not known: inference must cope, or refuse in words.
void infer_unknown(std::span<const std::uint8_t> bytes) {
  Choices choices(bytes);
  const FuzzCall call = draw_call(choices);
  const Parameters params = call.op->parse(call.args);
  Types types;
  for (const auto& t : call.inputs) {
    types.push_back(t.type());
    for (std::size_t d = 0; d < t.shape().rank(); ++d)
      if (choices.below(2) == 1) types.back().shape[d] = kUnknown;
  }
  const Inputs inputs{types, {}};
  check_inputs(call.op->type, call.op->inputs, types);
  (void)infer_all(*call.op, params, inputs);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::allow_errors([&] { run({data, size}); });
  fuzz::allow_errors([&] { infer_unknown({data, size}); });
  return 0;
}
