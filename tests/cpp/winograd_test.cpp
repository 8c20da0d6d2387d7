// Winograd's convolution of every instruction set: its error against sums in float64, edges of all kinds, equal bits
// for any number of threads and images, and how far reaches what is not finite.
#include "kernels/winograd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/threads.h"
#include "d2deploy/dtype.h"
#include "kernels/instruction_sets.h"
#include "noise.h"

namespace d2deploy {
namespace {

using Floats = std::vector<float>;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A layer whose outputs are spread by about 1.
struct Layer {
  std::int64_t images, in, out, height, width, pad_t = 1, pad_l = 1, pad_b = 1, pad_r = 1;

  std::int64_t out_height() const { return height + pad_t + pad_b - 2; }
  std::int64_t out_width() const { return width + pad_l + pad_r - 2; }
  WinogradMaps maps() const { return {in, height, width, out, out_height(), out_width(), pad_t, pad_l}; }
  Floats x() const { return noise(images * height * width * in, 1); }
  Floats filters() const { return noise(out * in * 9, 2, 1 / std::sqrt(9 * static_cast<float>(in))); }
  Floats bias() const { return noise(out, 3); }
  Floats addend() const { return noise(y_count(), 4); }
  std::int64_t y_count() const { return images * out_height() * out_width() * out; }
};

// One output without what follows the sum.
double exact(const Layer& l, const Floats& x, const Floats& w, std::int64_t at) {
  const std::int64_t o = at % l.out, column = at / l.out % l.out_width(), row = at / l.out / l.out_width();
  const std::int64_t image = row / l.out_height(), y = row % l.out_height();
  double sum = 0;
  for (std::int64_t i = 0; i < 3; ++i)
    for (std::int64_t j = 0; j < 3; ++j) {
      const std::int64_t yy = y + i - l.pad_t, xx = column + j - l.pad_l;
      if (yy < 0 || xx < 0 || yy >= l.height || xx >= l.width) continue;
      const float* cell = x.data() + ((image * l.height + yy) * l.width + xx) * l.in;
      for (std::int64_t c = 0; c < l.in; ++c) sum += double{cell[c]} * double{w[((o * l.in + c) * 3 + i) * 3 + j]};
    }
  return sum;
}

struct Set {
  const char* name;
  const WinogradLoops* loops;
};

std::vector<Set> all_sets() {
  std::vector<Set> all{{"baseline", &winograd_baseline()}};
#if defined(__x86_64__)
  if (has_avx2()) all.push_back({"avx2", &winograd_avx2()});
  if (has_avx512()) all.push_back({"avx512", &winograd_avx512()});
#endif
  return all;
}

class Winograd : public testing::TestWithParam<Set> {
 protected:
  struct Options {
    int threads = 1;
    bool bias = false, relu = false;
    const Floats* addend = nullptr;
    std::int64_t most_images = 0;  ///< 0: those of the layer
  };

  static Floats run(const Layer& l, const Floats& x, const Floats& w, const Options& o) {
    return run_in<float, float>(l, x, w, o);
  }

  // Between guards, in memory that holds NaN; X, Y: the types of x and y, which the numbers are rounded to.
  template <class X, class Y>
  static Floats run_in(const Layer& l, const Floats& numbers, const Floats& w, const Options& o) {
    const ThreadScope scope(o.threads);
    const WinogradLoops& loops = *GetParam().loops;
    WinogradMaps maps = l.maps();
    maps.x_bfloat16 = std::is_same_v<X, BFloat16>;
    maps.y_bfloat16 = std::is_same_v<Y, BFloat16>;
    const WinogradConvolution convolution(loops, maps, std::max(o.most_images, l.images), o.threads);
    const WinogradFilters filters = pack_winograd_filters(loops, w.data(), l.in, l.out);
    constexpr float kGuard = 12345;
    const std::vector<X> x(numbers.begin(), numbers.end());
    Floats scratch(convolution.scratch_bytes() / sizeof(float), kNan), bias;
    std::vector<Y> y(l.y_count(), Y(kNan));
    if (o.addend != nullptr) y = std::vector<Y>(o.addend->begin(), o.addend->end());
    scratch.push_back(kGuard);
    y.push_back(Y(kGuard));
    if (o.bias) bias = l.bias();
    const WinogradFinish finish{o.bias ? bias.data() : nullptr, o.addend != nullptr ? y.data() : nullptr, o.relu};
    convolution.run(filters, l.images, x.data(), finish, y.data(), scratch.data());
    EXPECT_EQ(scratch.back(), kGuard);
    EXPECT_EQ(static_cast<float>(y.back()), static_cast<float>(Y(kGuard)));
    y.pop_back();
    return {y.begin(), y.end()};
  }
};

// The bound that operators/conv/conv_winograd.cpp stands on; oneDNN's direct convolution has 6e-6 and 0.8e-6.
constexpr double kMaxError = 2e-5, kRmsError = 2e-6;

TEST_P(Winograd, ErrorIsBounded) {
  for (const Layer& l : {Layer{1, 64, 32, 24, 24}, Layer{1, 256, 32, 16, 16}, Layer{1, 512, 16, 12, 12}}) {
    const Floats x = l.x(), w = l.filters(), y = run(l, x, w, {});
    double most = 0, squares = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double error = std::abs(y[i] - exact(l, x, w, static_cast<std::int64_t>(i)));
      most = std::max(most, error);
      squares += error * error;
    }
    EXPECT_LT(most, kMaxError) << l.in << " channels";
    EXPECT_LT(std::sqrt(squares / static_cast<double>(y.size())), kRmsError) << l.in << " channels";
  }
}

// Edges in all places of a tile, channels in all places of a vector and a panel, one tile and several blocks.
TEST_P(Winograd, EveryShapeAndEveryFusedForm) {
  const Layer layers[] = {{1, 1, 1, 1, 1},
                          {1, 16, 16, 5, 7},
                          {3, 32, 48, 14, 14},
                          {2, 48, 32, 13, 22},
                          {1, 3, 70, 9, 6},
                          {2, 65, 5, 4, 3},
                          {1, 20, 33, 31, 37},
                          {4, 17, 16, 2, 8},
                          {1, 8, 8, 6, 9, 0, 0},
                          {1, 8, 8, 5, 5, 0, 0, 0, 0},
                          {1, 8, 8, 7, 5, 2, 0, 1, 3}};
  for (const Layer& l : layers)
    for (const int threads : {1, 3}) {
      const Floats x = l.x(), w = l.filters(), addend = l.addend(), bias = l.bias();
      const Floats plain = run(l, x, w, {.threads = threads});
      const Floats fused = run(l, x, w, {.threads = threads, .bias = true, .relu = true, .addend = &addend});
      for (std::size_t i = 0; i < plain.size(); ++i) {
        const double sum = exact(l, x, w, static_cast<std::int64_t>(i));
        const double all = std::max(0.0, sum + double{bias[i % l.out]} + double{addend[i]});
        ASSERT_NEAR(plain[i], sum, kMaxError)
            << l.in << " to " << l.out << ", " << l.height << " x " << l.width << " at " << i;
        ASSERT_NEAR(fused[i], all, kMaxError)
            << l.in << " to " << l.out << ", " << l.height << " x " << l.width << " at " << i;
      }
    }
}

// Many blocks for each thread, and so few tiles that all threads share them.
TEST_P(Winograd, BitsDependOnNeitherThreadsNorImages) {
  for (const Layer& l : {Layer{5, 24, 40, 50, 46}, Layer{3, 24, 40, 14, 14}}) {
    const Floats x = l.x(), w = l.filters(), all = run(l, x, w, {});
    for (const int threads : {2, 3, 9}) EXPECT_EQ(run(l, x, w, {.threads = threads}), all) << threads << " threads";
    EXPECT_EQ(run(l, x, w, {.threads = 2, .most_images = 99}), all) << "fewer images than there may be";
    Layer one = l;
    one.images = 1;
    const auto x_size = x.size() / l.images, y_size = all.size() / l.images;
    for (std::int64_t i = 0; i < l.images; ++i) {
      const Floats image(x.begin() + i * x_size, x.begin() + (i + 1) * x_size);
      const Floats wanted(all.begin() + i * y_size, all.begin() + (i + 1) * y_size);
      EXPECT_EQ(run(one, image, w, {.threads = 2}), wanted) << "image " << i;
    }
  }
}

Floats rounded(const Floats& numbers) {
  const std::vector<BFloat16> narrow(numbers.begin(), numbers.end());
  return {narrow.begin(), narrow.end()};
}

// Nothing else is rounded than what is read and written.
TEST_P(Winograd, ABFloat16IsWidenedAndRounded) {
  for (const Layer& l : {Layer{2, 48, 32, 13, 22}, Layer{1, 65, 5, 4, 3}, Layer{1, 20, 33, 31, 37}}) {
    const Floats x = rounded(l.x()), w = l.filters(), addend = rounded(l.addend());
    const Options plain{.threads = 2}, fused{.threads = 2, .bias = true, .relu = true, .addend = &addend};
    for (const Options& o : {plain, fused}) {
      const Floats wanted = run(l, x, w, o);
      EXPECT_EQ((run_in<BFloat16, float>(l, x, w, o)), wanted) << l.in << " to " << l.out;
      EXPECT_EQ((run_in<BFloat16, BFloat16>(l, x, w, o)), rounded(wanted)) << l.in << " to " << l.out;
    }
  }
}

TEST_P(Winograd, NoImagesAtAll) {
  EXPECT_TRUE(run({0, 16, 16, 8, 8}, {}, noise(16 * 16 * 9, 1, 1), {.threads = 2, .most_images = 3}).empty());
}

TEST_P(Winograd, WhatIsNotFiniteSpoilsTheTilesThatSeeItAndNoOther) {
  const Layer l{1, 16, 16, 20, 20};
  const Floats w = l.filters();
  const Floats clean = run(l, l.x(), w, {.relu = true});
  for (const float bad : {kNan, std::numeric_limits<float>::infinity()}) {
    Floats x = l.x();
    x[(9 * l.width + 11) * l.in + 5] = bad;  // row 9, column 11: seen by the tiles of rows 8 to 11, columns 8 to 15
    const Floats y = run(l, x, w, {.relu = true});
    for (std::int64_t i = 0; i < l.y_count(); ++i) {
      const std::int64_t row = i / l.out / l.width, column = i / l.out % l.width;
      const bool sees = row / 4 == 2 && (column / 4 == 2 || column / 4 == 3);
      // NaN is in the nine windows of the plain convolution, too; the other cells are whatever they become.
      const bool in_window = row >= 8 && row <= 10 && column >= 10 && column <= 12;
      if (!sees) {
        ASSERT_EQ(y[i], clean[i]) << row << ' ' << column;
      } else if (std::isnan(bad) && in_window) {
        ASSERT_TRUE(std::isnan(y[i])) << row << ' ' << column;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Winograd, testing::ValuesIn(all_sets()),
                         [](const auto& set) { return set.param.name; });

}  // namespace
}  // namespace d2deploy
