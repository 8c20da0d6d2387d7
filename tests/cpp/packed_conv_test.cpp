// Convolutions by packed products, of every instruction set: against sums in float64, and with equal bits whatever the
// threads and the other images.
#include "kernels/packed_conv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "all_packed_loops.h"
#include "core/memory.h"
#include "core/threads.h"
#include "noise.h"

namespace d2deploy {
namespace {

using Floats = std::vector<float>;

// 3 x 3 cells with a stride of 2 and a pad of 1, in 2 groups; more cells than a block has.
struct Problem {
  static constexpr std::int64_t kGroup = 2, kIn = 19, kOut = 37, kHeight = 41, kWidth = 39;
  static constexpr std::int64_t kOutHeight = 21, kOutWidth = 20;
  static constexpr FilterView kFilters{kGroup, kOut, kIn, 3, 3, kOut* kIn * 9, kIn * 9, 9, 3, 1};
  std::int64_t images;
  Floats x = noise(images * kHeight * kWidth * kGroup * kIn, 1), w = noise(kGroup * kOut * kIn * 9, 2),
         bias = noise(kGroup * kOut, 3);

  double sum(std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t m) const {
    double s = bias[m];
    for (std::int64_t t = 0; t < 9; ++t) {
      const std::int64_t y = 2 * oy + t / 3 - 1, at = 2 * ox + t % 3 - 1;
      if (y < 0 || y >= kHeight || at < 0 || at >= kWidth) continue;
      for (std::int64_t k = 0; k < kIn; ++k)
        s += double{x[((n * kHeight + y) * kWidth + at) * kGroup * kIn + m / kOut * kIn + k]} *
             double{w[(m * kIn + k) * 9 + t]};
    }
    return s;
  }

  Floats run(const PackedLoops& loops, int threads, std::int64_t count, std::int64_t first = 0) const {
    OutputGrid grid{kOutHeight, kOutWidth, 0, 0, 1, 1, 2, 2, {}};
    for (std::int64_t t = 0; t < 9; ++t) grid.cells.push_back({t, t / 3 - 1, t % 3 - 1});
    const PackedConvolution conv(loops, {images, kHeight, kWidth, kGroup * kIn, kOutHeight, kOutWidth, kFilters},
                                 {grid}, threads);
    const PackedFilters filters = pack_filters(loops, kFilters, w.data());
    const auto scratch = allocate(conv.scratch_bytes());
    const ThreadScope scope(threads);
    Floats y(count * kOutHeight * kOutWidth * kGroup * kOut, NAN);
    conv.run(filters, count, x.data() + first * kHeight * kWidth * kGroup * kIn, {bias.data(), nullptr, false},
             y.data(), scratch.get());
    return y;
  }
};

class PackedConvolutions : public testing::TestWithParam<const PackedLoops*> {};

TEST_P(PackedConvolutions, AreSums) {
  const Problem p{1};
  const Floats y = p.run(*GetParam(), 2, 1);
  for (std::int64_t i = 0; i < std::ssize(y); ++i) {
    const std::int64_t m = i % (Problem::kGroup * Problem::kOut), cell = i / (Problem::kGroup * Problem::kOut);
    // 171 products of about 1 each are rounded.
    ASSERT_NEAR(y[i], p.sum(0, cell / Problem::kOutWidth, cell % Problem::kOutWidth, m), 2e-4) << i;
  }
}

TEST_P(PackedConvolutions, HaveEqualBitsOnAnyThreadsAndInAnyBatch) {
  const Problem p{3};
  const Floats all = p.run(*GetParam(), 1, 3);
  EXPECT_EQ(p.run(*GetParam(), 2, 3), all);
  EXPECT_EQ(p.run(*GetParam(), 5, 3), all);
  const Floats last = p.run(*GetParam(), 2, 1, 2);
  EXPECT_EQ(std::memcmp(last.data(), all.data() + all.size() / 3 * 2, last.size() * sizeof(float)), 0);
}

TEST_P(PackedConvolutions, GiveTheirFiltersBack) {
  const Problem p{1};
  Floats again(p.w.size(), NAN);
  unpack_filters(*GetParam(), Problem::kFilters, pack_filters(*GetParam(), Problem::kFilters, p.w.data()),
                 again.data());
  EXPECT_EQ(again, p.w);
}

INSTANTIATE_TEST_SUITE_P(Sets, PackedConvolutions, testing::ValuesIn(all_packed_loops()),
                         [](const auto& set) { return set.param->name; });

}  // namespace
}  // namespace d2deploy
