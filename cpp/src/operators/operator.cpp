#include "operators/operator.h"

#include <algorithm>

#include "core/element_type.h"
#include "operators/widened.h"

namespace d2deploy {

std::string_view name(Backend backend) {
  switch (backend) {
    case Backend::avx512: return "avx512";
    case Backend::onednn: return "onednn";
    case Backend::winograd: return "winograd";
    case Backend::packed: return "packed";
    case Backend::cpu: return "cpu";
    case Backend::cudnn: return "cudnn";
    case Backend::cuda: return "cuda";
  }
  return "?";
}

Device::Kind device_of(Backend backend) {
  return backend == Backend::cuda || backend == Backend::cudnn ? Device::cuda : Device::cpu;
}

void Kernel::report(const Parameters& params, const CallSite& site, const DeviceFault& fault) const {
  if (fault.code == 0) return;
  if (function_[4]) report_(function_[4], params.get(), site, fault);
  fail<InternalError>("kernel ", name, ": fault ", fault.code, " in row ", fault.row,
                      ", which it cannot tell the meaning of");
}

void Call::write_rows(std::size_t i, std::int64_t rows) const {
  outputs[i]->set_rows(rows);
  if (i < output_rows.size() && output_rows[i] != nullptr) *output_rows[i] = static_cast<std::int32_t>(rows);
}

bool Kernel::takes_real(DType type) const {
  if (wide) return !wide->takes_real(type);
  if (takes == Takes::one_type) return type == real;
  return takes == Takes::any_element || type != DType::int8;
}

std::string Kernel::reject(const Operator& op, const Parameters& params, const CallSite& site) const {
  auto given = real_type(op.type, op.inputs, site.inputs);
  if (given && std::ranges::any_of(site.outputs, is_quantised)) given = DType::int8;
  if (wide) return takes_real(given.value_or(wide->real)) ? "" : "is for what the portable kernel does not take";
  if (given && !takes_real(*given)) {
    if (takes == Takes::any_real) return "takes real numbers, got quantised ones";
    return join("takes ", real, ", got ", *given);
  }
  return reject_(function_[0], params.get(), site);
}

void Kernel::run(const Parameters& params, const Call& call) const {
  if (wide) return run_widened(*wide, params, call);
  run_(function_[1], params.get(), call);
}

Prepared Kernel::prepare(const Operator& op, const Parameters& params, const CallSite& site) const {
  if (wide) return prepare_widened(*wide, op, params, site);
  return function_[2] ? prepare_(function_[2], params.get(), site) : Prepared{};
}

const Operator* find_operator(std::string_view type) {
  const auto& all = operators();
  if (const auto it = all.find(type); it != all.end()) return &it->second;
  using Aliases = std::map<std::string_view, const Operator*>;
  static const Aliases aliases = [&] {
    Aliases made;
    for (const auto& [key, op] : all)
      for (const auto& alias : op.aliases) made.emplace(alias, &op);
    return made;
  }();
  const auto it = aliases.find(type);
  return it == aliases.end() ? nullptr : it->second;
}

Parameters Operator::parse(const Args& args) const {
  const auto params = make_params();
  for (const auto& [key, value] : args) {
    const auto field = std::ranges::find(fields, std::string_view(key), &FieldInfo::name);
    if (field == fields.end()) {
      std::vector<std::string> known;
      for (const FieldInfo& f : fields)
        if (!f.internal) known.emplace_back(f.name);
      fail<InvalidModel>(type, ": unknown argument '", key, "'; known: ", known.empty() ? "none" : list_of(known));
    }
    try {
      assign(*field, params.get(), value);
    } catch (const InvalidModel& e) {
      fail<InvalidModel>(type, ": argument '", key, "' is ", to_text(value), ", must be ", e.what(), " (", field->doc,
                         ")");
    }
  }
  return params;
}

std::vector<std::string> unknown_arguments(const Operator& op, const Args& args) {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : args) {
    const auto field = std::ranges::find(op.fields, std::string_view(key), &FieldInfo::name);
    if (field == op.fields.end() || field->internal) unknown.push_back(key);
  }
  return unknown;
}

namespace {

// The layout of rank-4 outputs.
Layout common_layout(const Operator& op, std::span<const TensorType> inputs) {
  Layout layout = Layout::row_major;
  bool first = true;
  for (const auto& t : inputs) {
    if (t.shape.rank() != 4) continue;
    if (op.layout == LayoutRule::row_major)
      check<InternalError>(t.layout == Layout::row_major, op.type, ": takes row-major inputs only");
    if (first) layout = t.layout;
    first = false;
    if (op.layout == LayoutRule::follow || op.layout == LayoutRule::same)
      check<InternalError>(t.layout == layout, op.type, ": inputs of different layouts");
  }
  return layout;
}

// Quantised inputs: outputs of an operator that keeps their range have the type that holds the largest of them. Others
// say themselves what their outputs are.
void pass_scale_on(const Operator& op, std::span<const TensorType> inputs, Types& types) {
  if (!op.is(keeps_range)) return;
  const auto in = ports_of(op.inputs, inputs.size()), out = ports_of(op.outputs, types.size());
  DType dtype = DType::uint8;
  for (std::size_t i = 0; i < in.size(); ++i)
    if (in[i]->real && is_quantised(inputs[i]) && inputs[i].dtype == DType::int8) dtype = DType::int8;
  float scale = 0;
  for (std::size_t i = 0; i < in.size(); ++i)
    if (in[i]->real && is_quantised(inputs[i]))
      scale = std::max(scale, inputs[i].scale * (most_quanta(inputs[i].dtype) / most_quanta(dtype)));
  for (std::size_t i = 0; i < out.size(); ++i)
    if (out[i]->real) {
      types[i].dtype = dtype;
      types[i].scale = scale;
    }
}

}  // namespace

Types infer_all(const Operator& op, const Parameters& params, const Inputs& inputs) {
  check_inputs(op.type, op.inputs, inputs.types);
  Types types = op.infer_shapes(params.get(), inputs);
  const auto real = real_type(op.type, op.inputs, inputs.types);
  if (real == DType::int8) {
    pass_scale_on(op, inputs.types, types);
  } else if (real) {
    const auto ports = ports_of(op.outputs, types.size());
    for (std::size_t i = 0; i < ports.size(); ++i)
      if (ports[i]->real && !ports[i]->chosen) types[i].dtype = *real;
  } else if (op.is(view) && is_quantised(inputs.types[0])) {
    types[0].scale = inputs.types[0].scale;
  }
  if (op.layout == LayoutRule::own) return types;
  const Layout layout = common_layout(op, inputs.types);
  for (auto& t : types)
    if (t.shape.rank() == 4) t.layout = layout;
  return types;
}

Types infer(const Operator& op, const Parameters& params, const Inputs& inputs, std::size_t outputs) {
  Types types = infer_all(op, params, inputs);
  check_output_count(op.type, op.outputs, outputs);
  if (std::ranges::any_of(op.outputs, &Port::repeated))
    check<InvalidModel>(types.size() == outputs, op.type, ": the node has ", outputs,
                        " outputs, its arguments ask for ", types.size());
  check<InternalError>(types.size() >= outputs, op.type, ": infers ", types.size(), " outputs, the node has ", outputs);
  types.resize(outputs);
  return types;
}

Strides4 strides4(const TensorType& type) {
  const std::int64_t c = type.shape[1], h = type.shape[2], w = type.shape[3];
  if (type.layout == Layout::channels_last) return {h * w * c, 1, w * c, c};
  return {c * h * w, h * w, w, 1};
}

ErasedKernels::ErasedKernels(ErasedKernels&&) noexcept = default;
ErasedKernels::~ErasedKernels() = default;

Kernel& ErasedKernels::add(const char* name, DType real, Takes takes) {
  Kernel& kernel = list.emplace_back();
  kernel.name = name;
  kernel.real = real;
  kernel.takes = takes;
  return kernel;
}

namespace detail {

namespace {
std::vector<std::string> words(const char* text) {
  std::vector<std::string> out;
  for (const auto word : split(text, ' ')) out.emplace_back(word);
  return out;
}
}  // namespace

void describe(Operator& op, const Signature& signature, std::shared_ptr<void> (*make_params)(),
              std::span<const Field> fields) {
  op.type = signature.type;
  op.aliases = words(signature.aliases);
  op.layout = signature.layout;
  op.traits = signature.traits;
  op.inputs = parse_ports(signature.inputs);
  op.outputs = parse_ports(signature.outputs);
  if (std::ranges::any_of(op.outputs, [](const Port& p) { return !p.rows_found().empty(); }))
    op.traits |= data_dependent;
  op.make_params = make_params;
  const auto defaults = make_params();
  for (const Field& f : fields) op.fields.push_back(d2deploy::describe(f, defaults.get()));
}

void add_widened(Operator& op) {
  if (op.kernels.empty() || std::ranges::none_of(op.inputs, &Port::real)) return;
  const Takes takes = op.kernels.back().takes;
  if (takes == Takes::any_element || (takes == Takes::any_real && !op.is(keeps_range))) return;  // all that it can meet
  op.kernels.insert(op.kernels.end() - 1, widened(op.kernels.back()));
}

void add_kernels(Operator& op, Backend backend, ErasedKernels&& kernels) {
  for (Kernel& k : kernels.list) {
    k.backend = backend;
    op.kernels.push_back(std::move(k));
  }
}

std::map<std::string, Operator, std::less<>> table(std::span<void (*const)(Operator&)> definitions) {
  std::map<std::string, Operator, std::less<>> all;
  for (const auto define : definitions) {
    Operator op;
    define(op);
    std::string type = op.type;
    all.emplace(std::move(type), std::move(op));
  }
  return all;
}

}  // namespace detail
}  // namespace d2deploy
