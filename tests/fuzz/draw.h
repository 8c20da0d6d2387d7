// Arguments and sizes from choices, for the fuzzers that make calls and nets.
#pragma once
#include <string>
#include <vector>

#include "core/args.h"
#include "fuzz.h"

namespace d2deploy::fuzz {

/// A value for an argument of this type, as a field's description names it; sometimes of another type.
inline Arg draw_arg(Choices& c, const std::string& type) {
  static const std::vector<std::string> kStrings{"NCHW",      "NHWC",          "",     "linear", "gaussian", "float32",
                                                 "row_major", "channels_last", "FLOAT"};
  static const std::vector<std::string> kTypes{"int", "float", "string", "ints", "floats"};
  constexpr std::size_t kWrong = 16;  // one in so many is of another type than the operator wants
  const std::string& kind = c.below(kWrong) == 0 ? kTypes[c.below(kTypes.size())] : type;
  if (kind == "float") return c.number();
  if (kind == "string") return kStrings[c.below(kStrings.size())];
  if (kind == "bool") return static_cast<std::int64_t>(c.below(2));
  constexpr std::size_t kMostItems = 6;
  if (kind == "ints") {
    Ints list(c.below(kMostItems));
    for (auto& v : list) v = c.integer();
    return list;
  }
  if (kind == "floats") {
    Floats list(c.below(kMostItems));
    for (auto& v : list) v = c.number();
    return list;
  }
  return c.integer();
}

/// A size that is cheap.
inline std::int64_t draw_dim(Choices& c) {
  constexpr std::int64_t kDims[] = {1, 2, 3, 4, 5, 0, 6, 8, 16, 33};
  return kDims[c.below(std::size(kDims))];
}

}  // namespace d2deploy::fuzz
