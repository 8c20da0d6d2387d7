#include "io/faults.h"

#include <algorithm>

namespace d2deploy {

namespace {

constexpr std::size_t kLongestName = 1000;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

std::string Faults::text() const {
  std::string text = count_ == 1 ? "" : join(count_, " faults: ");
  for (std::size_t i = 0; i < texts_.size(); ++i) text += (i ? "; " : "") + texts_[i];
  if (count_ > texts_.size()) text += join("; and ", count_ - texts_.size(), " more");
  return text;
}

std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i) text += (i ? ", " : "") + in_quotes(names[i]);
  if (names.size() > most) text += join(" and ", names.size() - most, " more");
  return text;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 100;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_control(c))
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    else
      out += c;
  }
  return out + (text.size() > kLongest ? "...'" : "'");
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName && std::ranges::none_of(text, is_control);
}

void refuse_name(std::string_view text, const std::string& what) {
  check<InvalidModel>(!text.empty(), what, " has no name");
  check<InvalidModel>(text.size() <= kLongestName, what, ", ", in_quotes(text), ", has a name of ", text.size(),
                      " bytes, at most ", kLongestName, " are taken");
  fail<InvalidModel>(what, ", ", in_quotes(text), ", has control characters in its name");
}

}  // namespace d2deploy
