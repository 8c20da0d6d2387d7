// The arguments of an operator as they stand in a file or in our texts: name -> value.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "d2deploy/argument.h"

namespace d2deploy {

using Ints = std::vector<std::int64_t>;
using Floats = std::vector<float>;
using Strings = std::vector<std::string>;

using Arg = NetArgument;
using Args = std::map<std::string, Arg, std::less<>>;

/// `7`, `0.25`, `NCHW`, `[3,3]`, `[10.0,5.0]`. A float always has a point or an exponent; a string
/// that could be read as something else, or holds a space, stands in double quotes.
std::string to_text(const Arg& arg);

/// Inverse of `to_text`. Throws InvalidArgument with the text. An empty list `[]` reads as Ints.
Arg parse_arg(std::string_view text);

/// `{a=1 b=[2,3]}`, or nothing where there are none.
std::string to_text(const Args& args);

/// Reads `name=value` words (without braces). Throws InvalidArgument.
Args parse_args(std::string_view text);

}  // namespace d2deploy
