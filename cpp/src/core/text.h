// Small helpers for our text forms.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace d2deploy {

std::string_view strip(std::string_view text);
/// The stripped, non-empty parts between separators that stand outside of brackets and quotes.
std::vector<std::string_view> split(std::string_view text, char separator);
std::vector<std::string_view> lines(std::string_view text);
/// Names joined by ", ".
std::string list_of(const std::vector<std::string>& names);
/// Throws InvalidArgument where `text` is not wholly a number.
std::int64_t parse_int(std::string_view text);
float parse_float(std::string_view text);
std::string to_text(float value);  ///< shortest text that reads back as the same float, with a point or exponent
std::string fixed(double value, int digits);   ///< with so many digits behind the point
std::string hexadecimal(std::uint64_t value);  ///< 16 digits

}  // namespace d2deploy
