// The `axis` argument that several operators have.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/check.h"

namespace d2deploy {

/// `axis`, counted from the end where negative, as an index below `rank`. Throws InvalidArgument, with `type`.
inline std::size_t canonical_axis(const char* type, std::int64_t axis, std::size_t rank) {
  const auto n = static_cast<std::int64_t>(rank);
  check(n > 0, type, ": axis is ", axis, ", but a scalar has no dimensions");
  check(axis >= -n && axis < n, type, ": axis is ", axis, ", must be from ", -n, " to ", n - 1,
        " for a tensor of rank ", n);
  return static_cast<std::size_t>(axis < 0 ? axis + n : axis);
}

}  // namespace d2deploy
