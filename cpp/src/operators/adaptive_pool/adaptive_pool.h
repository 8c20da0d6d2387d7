// What AdaptiveAveragePool and AdaptiveMaxPool share: arguments, and where the cells of a bin are.
#pragma once
#include <array>

#include "operators/operator.h"

namespace d2deploy {

struct AdaptivePoolParams {
  std::int64_t height = 1;
  std::int64_t width = 1;
};
inline constexpr auto kAdaptivePoolFields =
    std::array{field<&AdaptivePoolParams::height>("height", Bound::positive, "rows of Y"),
               field<&AdaptivePoolParams::width>("width", Bound::positive, "columns of Y")};
inline constexpr const char* kAdaptivePoolInputs = "X: float32 (N, C, H, W)";
inline constexpr const char* kAdaptivePoolOutputs = "Y: float32 (N, C, H2, W2)";

/// The cells of bin `i` of `bins` along a side of `size` cells.
struct Bin {
  std::int64_t first, end;

  constexpr Bin(std::int64_t i, std::int64_t bins, std::int64_t size)
      : first(i * size / bins), end(((i + 1) * size + bins - 1) / bins) {}
  constexpr std::int64_t cells() const { return end - first; }
};

inline Types infer_adaptive_pool(const char* type, const AdaptivePoolParams& p, const Inputs& in) {
  check<InvalidModel>(p.height <= 1 << 16 && p.width <= 1 << 16, type, ": height and width are ", p.height, " and ",
                      p.width, ", must be at most 65536");
  check(in[0][2] != 0 && in[0][3] != 0, type, ": X has no cells, its shape is ", in[0]);
  return {f32({in[0][0], in[0][1], p.height, p.width})};
}

}  // namespace d2deploy
