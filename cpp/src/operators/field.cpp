#include "operators/field.h"

#include <cmath>

#include "core/check.h"

namespace d2deploy {

namespace {

const char* name_of(FieldType type) {
  switch (type) {
    case FieldType::boolean: return "bool";
    case FieldType::integer: return "int";
    case FieldType::real: return "float";
    case FieldType::string: return "string";
    case FieldType::integers: return "ints";
    case FieldType::reals: return "floats";
    case FieldType::any: return "int, float, string or list";
  }
  return "?";
}

template <class T>
const T& get(const Arg& arg, const char* wanted) {
  const auto* value = std::get_if<T>(&arg);
  if (value == nullptr) fail<InvalidModel>(wanted);
  return *value;
}

// Whole numbers may stand for floats: our texts leave out the point, and some writers of files do.
float to_float(const Arg& arg) {
  const auto* whole = std::get_if<std::int64_t>(&arg);
  const float value = whole ? static_cast<float>(*whole) : get<float>(arg, "a number");
  check<InvalidModel>(std::isfinite(value), "finite");
  return value;
}

Floats to_floats(const Arg& arg) {
  const auto* whole = std::get_if<Ints>(&arg);
  return whole ? Floats(whole->begin(), whole->end()) : get<Floats>(arg, "a list of numbers");
}

bool to_bool(const Arg& arg) {
  const auto value = get<std::int64_t>(arg, "an integer");
  check<InvalidModel>(value == 0 || value == 1, "0 or 1");
  return value == 1;
}

template <class T>
void check_bound(T value, Bound bound) {
  if (bound == Bound::positive) check<InvalidModel>(value > 0, "positive");
  if (bound == Bound::non_negative) check<InvalidModel>(value >= 0, "not negative");
  // Geometry is computed in 64 bits; arguments beyond 32 have no use and could overflow it.
  if constexpr (std::is_integral_v<T>)
    check<InvalidModel>(bound == Bound::unlimited || (value <= INT32_MAX && value >= INT32_MIN), "within 32 bits");
}

void check_bounds(const Arg& value, Bound bound) {
  if (const auto* i = std::get_if<std::int64_t>(&value)) check_bound(*i, bound);
  if (const auto* f = std::get_if<float>(&value)) check_bound(*f, bound);
  if (const auto* ints = std::get_if<Ints>(&value))
    for (const auto v : *ints) check_bound(v, bound);
  if (const auto* floats = std::get_if<Floats>(&value))
    for (const auto v : *floats) check_bound(v, bound);
}

void* address(const Field& field, void* params) { return field.member(field.base ? field.base(params) : params); }

}  // namespace

void assign(const Field& field, void* params, const Arg& arg) {
  void* member = address(field, params);
  switch (field.type) {
    case FieldType::boolean: *static_cast<bool*>(member) = to_bool(arg); return;
    case FieldType::integer: *static_cast<std::int64_t*>(member) = get<std::int64_t>(arg, "an integer"); break;
    case FieldType::real: *static_cast<float*>(member) = to_float(arg); break;
    case FieldType::string: *static_cast<std::string*>(member) = get<std::string>(arg, "a string"); return;
    case FieldType::integers: *static_cast<Ints*>(member) = get<Ints>(arg, "a list of integers"); break;
    case FieldType::reals: *static_cast<Floats*>(member) = to_floats(arg); break;
    case FieldType::any: *static_cast<Arg*>(member) = arg; return;
  }
  check_bounds(value_of(field, params), field.bound);
}

Arg value_of(const Field& field, const void* params) {
  // The functions that find a member serve reading and writing; here nothing is written.
  const void* member = address(field, const_cast<void*>(params));
  switch (field.type) {
    case FieldType::boolean: return static_cast<std::int64_t>(*static_cast<const bool*>(member));
    case FieldType::integer: return *static_cast<const std::int64_t*>(member);
    case FieldType::real: return *static_cast<const float*>(member);
    case FieldType::string: return *static_cast<const std::string*>(member);
    case FieldType::integers: return *static_cast<const Ints*>(member);
    case FieldType::reals: return *static_cast<const Floats*>(member);
    case FieldType::any: return *static_cast<const Arg*>(member);
  }
  return {};
}

FieldInfo describe(const Field& field, const void* defaults) {
  return {field, name_of(field.type), to_text(value_of(field, defaults))};
}

}  // namespace d2deploy
