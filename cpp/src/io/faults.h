// All faults of a file, for one error.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"

namespace d2deploy {

/// Collects sentences; the first few are kept, the rest are counted, so that a hostile file cannot fill the memory.
class Faults {
 public:
  template <class... Parts>
  void add(const Parts&... parts) {
    if (++count_ <= kKept) texts_.push_back(join(parts...));
  }
  bool empty() const { return count_ == 0; }
  /// "a", or "2 faults: a; b", or "40 faults: a; ...; and 20 more".
  std::string text() const;
  /// Throws E, "subject: " and all faults, where there are any.
  template <class E>
  void throw_if_any(const std::string& subject) const {
    if (!empty()) fail<E>(subject, ": ", text());
  }

 private:
  static constexpr std::size_t kKept = 20;
  std::vector<std::string> texts_;
  std::size_t count_ = 0;
};

/// Names in quotes, separated by ", "; the first `most`, then "and 12 more".
std::string some_of(const std::vector<std::string>& names, std::size_t most = 20);

/// A string from a file as it may stand in a message: in quotes, control characters as \xNN, not too long.
std::string in_quotes(std::string_view text);

/// Whether `text` can be the name of a blob, operator or argument: not empty, no control characters, not absurdly long.
bool is_name(std::string_view text);
[[noreturn]] void refuse_name(std::string_view text, const std::string& what);
/// Throws InvalidModel where it cannot. `what`, in parts, says which, as "output 0".
template <class... Parts>
void check_name(std::string_view text, const Parts&... what) {
  if (!is_name(text)) refuse_name(text, join(what...));
}

}  // namespace d2deploy
