// The value of an argument of a net.
#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#pragma GCC visibility push(default)
namespace d2deploy {

/// Typed as it stands in the file; an empty list is one of integers.
class NetArgument : public std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>,
                                        std::vector<std::string>> {
 public:
  using Variant = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>,
                               std::vector<std::string>>;
  using Variant::Variant;
  using Variant::operator=;

  NetArgument() = default;
  /// Deliberately not std::variant's: where a list finds no memory for its copy, that of libstdc++ 12 destroys a value
  /// that was never made. Assigning makes the copy first.
  NetArgument(const NetArgument& other) : Variant() { Variant::operator=(other); }
  NetArgument(NetArgument&&) noexcept = default;
  NetArgument& operator=(const NetArgument&) = default;
  NetArgument& operator=(NetArgument&&) noexcept = default;
  ~NetArgument() = default;
};

}  // namespace d2deploy
#pragma GCC visibility pop
