// The packed product of every instruction set against sums in float64, and what its users rely on: padding, rows that
// do not depend on their place, sums that go on, outputs that are also the addend.
#include "kernels/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "all_packed_loops.h"
#include "noise.h"

namespace d2deploy {
namespace {

using Floats = std::vector<float>;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A times B, and how to get it from the loops.
struct Product {
  std::int64_t rows, depth, columns;
  Floats a = noise(rows * depth, 1), b = noise(depth * columns, 2);

  double sum(std::int64_t i, std::int64_t j) const {
    double s = 0;
    for (std::int64_t k = 0; k < depth; ++k) s += double{a[i * depth + k]} * double{b[k * columns + j]};
    return s;
  }
};

struct Packed {
  const PackedLoops& loops;
  std::int64_t blocks, depth, panel_count;
  Floats a, b, c;

  Packed(const PackedLoops& l, const Product& p, std::int64_t first_row = 0)
      : loops(l),
        blocks(divide_up(p.rows + first_row, l.rows)),
        depth(round_up(p.depth, l.width)),
        panel_count(panels(l, p.columns)),
        a(blocks * row_block_floats(l, p.depth), kNan),
        b(panel_count * panel_floats(l, p.depth), kNan),
        c(blocks * row_block_floats(l, panel_count * l.panel), kNan) {
    for (std::int64_t m = 0; m < blocks; ++m) {
      std::vector<const float*> rows(l.rows, nullptr);
      for (std::int64_t i = 0; i < l.rows; ++i) {
        const std::int64_t row = m * l.rows + i - first_row;
        if (row >= 0 && row < p.rows) rows[i] = p.a.data() + row * p.depth;
      }
      l.pack_rows(rows.data(), p.depth, a.data() + m * row_block_floats(l, p.depth));
    }
    for (std::int64_t q = 0; q < panel_count; ++q)
      l.pack_panel(p.b.data() + q * l.panel, p.columns, 1, p.depth, std::min(l.panel, p.columns - q * l.panel),
                   b.data() + q * panel_floats(l, p.depth));
  }

  // All panels, or a part of the depth of some.
  void multiply(std::int64_t from, std::int64_t to, std::int64_t first, std::int64_t last, bool accumulate,
                std::int64_t next_floats = 0) {
    loops.multiply({.a = a.data() + from * loops.rows,
                    .a_step = depth * loops.rows,
                    .row_blocks = blocks,
                    .depth = to - from,
                    .b = b.data() + from * loops.panel,
                    .b_step = depth * loops.panel,
                    .first = first,
                    .last = last,
                    .c = c.data(),
                    .c_step = panel_count * loops.panel * loops.rows,
                    .accumulate = accumulate,
                    .next = a.data(),
                    .next_floats = next_floats});
  }
  void multiply() { multiply(0, depth, 0, panel_count, false, static_cast<std::int64_t>(a.size())); }

  const float* block(std::int64_t row) const {
    return c.data() + row / loops.rows * panel_count * loops.panel * loops.rows;
  }
  Floats row(std::int64_t i, std::int64_t channels, PackedFinish finish = {}) const {
    Floats y(channels + 1, kNan);
    loops.finish_row(block(i), i % loops.rows, channels, finish, 0, y.data());
    EXPECT_TRUE(std::isnan(y.back())) << "written behind the last channel";
    y.pop_back();
    return y;
  }
};

class PackedLoopsTest : public testing::TestWithParam<const PackedLoops*> {};

TEST_P(PackedLoopsTest, MultiplyWithinTheRoundingOfShortSums) {
  const Product products[] = {{1, 1, 1}, {5, 3, 7}, {14, 16, 32}, {15, 40, 33}, {61, 300, 70}, {7, 129, 20}};
  for (const Product& p : products) {
    Packed packed(*GetParam(), p);
    packed.multiply();
    const double bound = 24 * std::sqrt(static_cast<double>(p.depth)) * std::numeric_limits<float>::epsilon();
    for (std::int64_t i = 0; i < p.rows; ++i) {
      const Floats y = packed.row(i, p.columns);
      for (std::int64_t j = 0; j < p.columns; ++j)
        ASSERT_NEAR(y[j], p.sum(i, j), bound)
            << GetParam()->name << ' ' << p.rows << " x " << p.depth << " x " << p.columns << ", sum " << i << ' ' << j;
    }
  }
}

TEST_P(PackedLoopsTest, SumsGoOnAndPanelsComeInAnyOrder) {
  const Product p{20, 256, 100};
  Packed whole(*GetParam(), p), parts(*GetParam(), p);
  whole.multiply();
  for (std::int64_t q = parts.panel_count; q-- > 0;) {
    parts.multiply(0, 128, q, q + 1, false);
    parts.multiply(128, 256, q, q + 1, true, 11);
  }
  EXPECT_EQ(whole.c, parts.c);
}

TEST_P(PackedLoopsTest, RowsGetEqualBitsWhereverTheyStand) {
  const Product p{3, 200, 40};
  Packed here(*GetParam(), p);
  here.multiply();
  for (std::int64_t shift = 1; shift < 2 * GetParam()->rows; ++shift) {
    Packed there(*GetParam(), p, shift);
    there.multiply();
    for (std::int64_t i = 0; i < p.rows; ++i)
      ASSERT_EQ(here.row(i, p.columns), there.row(i + shift, p.columns)) << shift;
  }
}

TEST_P(PackedLoopsTest, FinishAddsAndCutsOff) {
  const Product p{2, 20, 37};
  Packed packed(*GetParam(), p);
  packed.multiply();
  const Floats plain = packed.row(1, p.columns), bias = noise(p.columns, 3), addend = noise(p.columns, 4);
  const Floats y = packed.row(1, p.columns, {bias.data(), addend.data(), true});
  for (std::int64_t j = 0; j < p.columns; ++j) EXPECT_EQ(y[j], std::max(plain[j] + bias[j] + addend[j], 0.0F)) << j;
  Floats shared = addend;
  GetParam()->finish_row(packed.block(1), 1, p.columns, {bias.data(), shared.data(), true}, 0, shared.data());
  EXPECT_EQ(shared, y);
}

TEST_P(PackedLoopsTest, NanSpoilsItsRowAlone) {
  Product p{4, 20, 37};
  p.a[2 * p.depth + 5] = kNan;
  Packed packed(*GetParam(), p);
  packed.multiply();
  for (std::int64_t i = 0; i < p.rows; ++i)
    for (const float v : packed.row(i, p.columns, {nullptr, nullptr, true})) EXPECT_EQ(std::isnan(v), i == 2) << i;
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, PackedLoopsTest, testing::ValuesIn(all_packed_loops()),
                         [](const auto& set) { return set.param->name; });

}  // namespace
}  // namespace d2deploy
