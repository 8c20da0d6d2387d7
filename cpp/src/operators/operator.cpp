#include "operators/operator.h"

#include <algorithm>
#include <cmath>

namespace d2deploy {

std::string_view name(Backend backend) {
  switch (backend) {
    case Backend::avx512: return "avx512";
    case Backend::onednn: return "onednn";
    case Backend::cpu: return "cpu";
  }
  return "?";
}

void Call::set_rows(std::size_t i, std::int64_t rows) const {
  TensorType type = outputs[i]->type();
  type.shape[0] = rows;
  *outputs[i] = outputs[i]->with_type(type);
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

std::vector<std::string> unknown_arguments(const Operator& op, const Args& args) {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : args)
    if (std::ranges::find(op.fields, key, &FieldInfo::name) == op.fields.end()) unknown.push_back(key);
  return unknown;
}

namespace {

Layout common_layout(const Operator& op, std::span<const TensorType> inputs) {
  Layout layout = Layout::row_major;
  bool first = true;
  for (const auto& t : inputs) {
    if (t.shape.rank() != 4) continue;
    if (!op.is(spatial) && !op.is(elementwise) && !op.is(own_layout))
      check<InternalError>(t.layout == Layout::row_major, op.type, ": takes row-major inputs only");
    if (first) layout = t.layout;
    first = false;
    if (op.is(elementwise)) check<InternalError>(t.layout == layout, op.type, ": inputs of different layouts");
  }
  return layout;
}

}  // namespace

Types infer(const Operator& op, const std::any& params, const Inputs& inputs, std::size_t outputs) {
  check_inputs(op.type, op.inputs, inputs.types);
  check_output_count(op.type, op.outputs, outputs);
  Types types = op.infer_shapes(params, inputs);
  check<InternalError>(types.size() >= outputs, op.type, ": infers ", types.size(), " outputs, the node has ", outputs);
  types.resize(outputs);
  if (!op.is(own_layout)) {
    const Layout layout = common_layout(op, inputs.types);
    for (auto& t : types)
      if (t.shape.rank() == 4) t.layout = layout;
  }
  return types;
}

Strides4 strides4(const TensorType& type) {
  const std::int64_t c = type.shape[1], h = type.shape[2], w = type.shape[3];
  if (type.layout == Layout::channels_last) return {h * w * c, 1, w * c, c};
  return {c * h * w, h * w, w, 1};
}

namespace detail {

std::vector<std::string> words(const char* text) {
  std::vector<std::string> out;
  for (const auto word : split(text, ' ')) out.emplace_back(word);
  return out;
}

void assign(std::int64_t& out, const Arg& arg) {
  const auto* value = std::get_if<std::int64_t>(&arg);
  if (value == nullptr) fail<InvalidModel>("an integer");
  out = *value;
}

void assign(bool& out, const Arg& arg) {
  std::int64_t value = 0;
  assign(value, arg);
  check<InvalidModel>(value == 0 || value == 1, "0 or 1");
  out = value == 1;
}

// Whole numbers may stand for floats: our texts leave out the point, and some writers of files do.
void assign(float& out, const Arg& arg) {
  if (const auto* value = std::get_if<float>(&arg)) {
    out = *value;
  } else if (const auto* whole = std::get_if<std::int64_t>(&arg)) {
    out = static_cast<float>(*whole);
  } else {
    fail<InvalidModel>("a number");
  }
  check<InvalidModel>(std::isfinite(out), "finite");
}

void assign(std::string& out, const Arg& arg) {
  const auto* value = std::get_if<std::string>(&arg);
  if (value == nullptr) fail<InvalidModel>("a string");
  out = *value;
}

void assign(Ints& out, const Arg& arg) {
  const auto* values = std::get_if<Ints>(&arg);
  if (values == nullptr) fail<InvalidModel>("a list of integers");
  out = *values;
}

void assign(Floats& out, const Arg& arg) {
  if (const auto* values = std::get_if<Floats>(&arg)) {
    out = *values;
  } else if (const auto* whole = std::get_if<Ints>(&arg)) {
    out.assign(whole->begin(), whole->end());
  } else {
    fail<InvalidModel>("a list of numbers");
  }
}

void assign(Arg& out, const Arg& arg) { out = arg; }

namespace {
template <class T>
void check_sign(T value, Bound bound) {
  if (bound == Bound::positive) check<InvalidModel>(value > 0, "positive");
  if (bound == Bound::non_negative) check<InvalidModel>(value >= 0, "not negative");
}
}  // namespace

void check_bound(std::int64_t value, Bound bound) {
  check_sign(value, bound);
  // Geometry is computed in 64 bits; arguments beyond 32 have no use and could overflow it.
  check<InvalidModel>(bound == Bound::unlimited || (value <= INT32_MAX && value >= INT32_MIN), "within 32 bits");
}
void check_bound(float value, Bound bound) { check_sign(value, bound); }

void fail_unknown(const char* type, const std::string& name, const std::vector<std::string>& known) {
  fail<InvalidModel>(type, ": unknown argument '", name, "'; known: ", known.empty() ? "none" : list_of(known));
}

}  // namespace detail
}  // namespace d2deploy
