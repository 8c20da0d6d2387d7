// Bytes -> a net of known operators (generator.h) -> text, file, passes, plan, and a run where that is cheap: what
// random bytes never reach, since most of them are no net at all. D2DEPLOY_FUZZ_PRINT=1 prints the net.
#include "generator.h"

#include <cstdlib>
#include <iostream>

#include "core/check.h"
#include "net_builder.h"
#include "operators/evaluate.h"
#include "runtime/model.h"

using namespace d2deploy;

namespace {

using fuzz::Choices;

[[noreturn]] void report(const std::string& what, const Graph& graph) {
  std::cerr << "FINDING " << what << " of\n" << to_text(graph);
  std::abort();
}

// ---- Text and file ---------------------------------------------------------------------------------

void check_text(const Graph& graph) {
  const std::string text = to_text(graph);
  if (to_text(parse_graph(text)) != text) report("another text", graph);
}

// As a file, in which only `data` comes from the caller: other inputs become fills.
void read_as_file(const Graph& graph) {
  constexpr std::int64_t kMostBytes = 1 << 20;
  testing::Net predict, init;
  bool has_data = false;
  for (const auto& [name, tensor] : graph.constants)
    init.op("ConstantFill", {}, {name}, {{"shape", Ints(tensor.shape().begin(), tensor.shape().end())}});
  std::map<std::string, std::string> names;
  for (const auto& [name, type] : graph.input_types) {
    if (!has_data && type.dtype == DType::float32 && type.shape.rank() == 4) {
      has_data = true;
      names[name] = "data";
      continue;
    }
    if (!type.shape.known() || type.bytes() > kMostBytes) return;
    init.op("ConstantFill", {}, {name}, {{"shape", Ints(type.shape.begin(), type.shape.end())}});
  }
  predict.inputs({"data"});
  for (const auto& [name, tensor] : graph.constants) predict.inputs({name});
  for (const auto& [name, type] : graph.input_types)
    if (!names.contains(name)) predict.inputs({name});
  for (const Node& node : graph.nodes) {
    Node n = node;
    for (auto& x : n.inputs)
      if (names.contains(x)) x = names[x];
    auto& op = predict.add(n.type, n.inputs, n.outputs);
    for (const auto& [name, value] : n.args) {
      auto& arg = *op.add_arg();
      arg.set_name(name);
      testing::set_value(arg, value);
    }
  }
  predict.outputs(graph.outputs);
  (void)testing::read(predict, init, {.max_tensor_bytes = kMostBytes, .log = {}});
}

// ---- Model -----------------------------------------------------------------------------------------

// Whether a run takes little, also of operators that look at all elements for each.
bool is_cheap(const Plan& plan) {
  constexpr double kMostBytes = 1 << 20, kMostBytesOfStep = 1 << 15, kMostFlops = 1e7;
  double bytes = 0, flops = 0;
  for (const Step& step : plan.steps) {
    if (step.late || step.op->is(data_dependent)) return false;
    for (const auto& field : step.op->fields)
      if (std::string_view(field.name) == "sampling_ratio") return false;
    if (step.op->layout != LayoutRule::follow && step.work.bytes > kMostBytesOfStep) return false;
    bytes += step.work.bytes;
    flops += step.work.flops;
  }
  return bytes <= kMostBytes && flops <= kMostFlops;
}

// The types of outputs after a run; nothing where it is refused or would take long.
std::optional<std::map<std::string, TensorType>> load_and_run(const Graph& graph, const TypeMap& inputs,
                                                              const ModelOptions& options, Choices choices) {
  std::optional<std::map<std::string, TensorType>> types;
  fuzz::allow_errors([&] {
    const auto model = Model::Impl::make(graph, options);
    const auto plan = impl_of(*model).plan(inputs);
    if (!is_cheap(*plan)) return;
    Tensors values;
    for (const auto& [name, type] : inputs) {
      if (type.bytes() > 1 << 20) return;
      choices.fill(values[name] = Tensor::allocate(type));
    }
    Session session(model);
    const Tensors outputs = session.run(values);
    types.emplace();
    for (const auto& [name, tensor] : outputs) types->emplace(name, tensor.clone().type());  // reads all of it
  });
  return types;
}

void load(const Graph& graph, Choices& choices) {
  TypeMap inputs = graph.input_types;
  for (auto& [name, type] : inputs)
    for (std::size_t d = 0; d < type.shape.rank(); ++d)
      if (type.shape[d] == kUnknown) type.shape[d] = static_cast<std::int64_t>(1 + choices.below(8));
  constexpr std::int64_t kLimits[] = {0, 1 << 16, 1 << 22};
  ModelOptions options;
  options.threads = 1;
  options.max_tensor_bytes = kLimits[choices.below(std::size(kLimits))];
  (void)setenv("D2DEPLOY_EMULATE", "bfloat16", 1);
  if (choices.below(4) == 0) options.precision = "bfloat16";
  const auto fast = load_and_run(graph, inputs, options, choices);
  options.optimize = false;
  const auto plain = load_and_run(graph, inputs, options, choices);
  if (fast && plain && *fast != *plain) report("other types of outputs where optimized", graph);
}

// ---- One call on large tensors ---------------------------------------------------------------------

// One dimension at which float32 no longer counts, the others 1.
void run_large(Choices& choices) {
  constexpr std::int64_t kLarge[] = {16777217, 16777219, 1 << 24, 65536, 65537, 1 << 20};
  constexpr std::int64_t kMostBytes = 200 << 20;
  const auto& all = operators();
  const Operator& op = std::next(all.begin(), static_cast<std::ptrdiff_t>(choices.below(all.size())))->second;
  const bool any_cost =
      op.is(data_dependent) || op.type == "HeatmapMaxKeypoint" ||
      std::ranges::find(op.fields, std::string_view("sampling_ratio"), &FieldInfo::name) != op.fields.end();
  if (any_cost) return;
  Args args;
  for (const auto& field : op.fields)
    if (!field.internal && choices.below(8) == 1) args[field.name] = fuzz::draw_arg(choices, field.type_name);
  std::vector<Tensor> inputs;
  std::map<std::string, std::int64_t> symbols;
  const auto dim = [&] { return choices.below(4) == 0 ? kLarge[choices.below(std::size(kLarge))] : 1; };
  for (const auto& port : op.inputs) {
    if (port.optional && choices.below(2) == 0) break;
    TensorType type;
    type.dtype = port.dtypes.empty() || port.real ? DType::float32 : port.dtypes[0];
    for (std::size_t i = 0; port.any_shape && i < 4; ++i) type.shape.push_back(dim());
    for (const Dim& d : port.dims)
      type.shape.push_back(!d.symbol.empty() ? symbols.emplace(d.symbol, dim()).first->second : d.alternatives[0]);
    check(type.bytes() <= kMostBytes / 2, "too large for here");
    choices.fill(inputs.emplace_back(Tensor::allocate(type)));
  }
  const Evaluation probe(op, args, inputs);
  std::int64_t bytes = 0;
  Types types;
  for (const auto& t : inputs) types.push_back(t.type());
  for (const auto& t : types) bytes += t.bytes();
  for (const auto& t : probe.output_types()) bytes += t.bytes();
  if (bytes > kMostBytes || op.flops(op.parse(args), {types, {}}, probe.output_types()) > 1e8) return;
  (void)evaluate(op, args, inputs);
}

void run(std::span<const std::uint8_t> bytes) {
  Choices choices(bytes);
  if (choices.byte() == 0xFF) return run_large(choices);
  const Graph graph = fuzz::generate_net(choices);
  if (std::getenv("D2DEPLOY_FUZZ_PRINT") != nullptr) std::cerr << to_text(graph) << std::endl;
  try {
    verify(graph);
  } catch (const Error& e) {
    report(join("verify: ", e.what()), graph);
  }
  check_text(graph);
  if (choices.below(4) == 0) fuzz::allow_errors([&] { read_as_file(graph); });
  load(graph, choices);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::allow_errors([&] { run({data, size}); });
  return 0;
}
