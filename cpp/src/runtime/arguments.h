// Arguments of a net, read with their types.
#pragma once
#include <string>

#include "core/args.h"
#include "core/check.h"

namespace d2deploy {

/// The argument of that name, `otherwise` where there is none. Throws InvalidModel where it has another type.
template <class T>
T argument(const Args& arguments, const char* name, T otherwise) {
  const auto it = arguments.find(name);
  if (it == arguments.end()) return otherwise;
  const auto* value = std::get_if<T>(&it->second);
  check<InvalidModel>(value != nullptr, "net argument '", name, "' has the wrong type");
  return *value;
}

/// A number that must be in the file. Integers are taken too. Throws InvalidModel where it is not there or no number.
inline double number_argument(const Args& arguments, const char* name) {
  const auto it = arguments.find(name);
  check<InvalidModel>(it != arguments.end(), "net argument '", name, "' is missing");
  if (const auto* i = std::get_if<std::int64_t>(&it->second)) return static_cast<double>(*i);
  const auto* f = std::get_if<float>(&it->second);
  check<InvalidModel>(f != nullptr, "net argument '", name, "' is not a number");
  return static_cast<double>(*f);
}

/// A list of numbers that must be in the file. Throws InvalidModel likewise.
inline std::vector<float> numbers_argument(const Args& arguments, const char* name) {
  const auto it = arguments.find(name);
  check<InvalidModel>(it != arguments.end(), "net argument '", name, "' is missing");
  if (const auto* i = std::get_if<std::vector<std::int64_t>>(&it->second)) return {i->begin(), i->end()};
  const auto* f = std::get_if<std::vector<float>>(&it->second);
  check<InvalidModel>(f != nullptr, "net argument '", name, "' is not a list of numbers");
  return *f;
}

}  // namespace d2deploy
