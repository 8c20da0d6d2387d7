// Tensors of any type and layout as lists of values, and how two of them differ.
#pragma once
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "case.h"
#include "core/element_type.h"
#include "kernels/reorder.h"

namespace d2deploy::testing {

/// In logical order.
inline std::vector<double> values_of(const Tensor& tensor) {
  const Tensor t = reordered(tensor, Layout::row_major);
  std::vector<double> out;
  with_element_type(t.dtype(), [&]<class T>(T) {
    for (const auto v : t.values<T>()) {
      if constexpr (kReal<T>)
        out.push_back(static_cast<double>(static_cast<float>(v)));
      else
        out.push_back(static_cast<double>(v));
    }
  });
  return out;
}

// The order of summation differs between kernels: a few hundred roundings of values near 1.
inline constexpr double kTolerance = 256 * std::numeric_limits<float>::epsilon();
// One rounding of the result to bfloat16, beside that.
inline constexpr double kRounding = 0x1p-8 + kTolerance;

/// Empty where the values are equal, but for rounding.
inline std::string difference(const std::vector<double>& have, const std::vector<double>& want,
                              double tolerance = kTolerance) {
  if (have.size() != want.size()) return join(have.size(), " values, wanted ", want.size());
  for (std::size_t i = 0; i < have.size(); ++i) {
    if (std::isnan(have[i]) && std::isnan(want[i])) continue;
    if (have[i] == want[i]) continue;
    if (!(std::fabs(have[i] - want[i]) <= tolerance * std::max(1.0, std::fabs(want[i]))))
      return join("element ", i, " is ", have[i], ", wanted ", want[i]);
  }
  return {};
}

}  // namespace d2deploy::testing
