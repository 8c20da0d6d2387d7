// D2DEPLOY_INSTRUCTION_SET: this CPU stands for an older one. And what loops of every set compute.
#include "kernels/instruction_sets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "d2deploy/error.h"
#include "kernels/group_norm.h"
#include "kernels/layer_norm.h"
#include "kernels/packed.h"
#include "kernels/reorder.h"
#include "kernels/sigmoid.h"
#include "kernels/softmax.h"
#include "message_of.h"
#include "noise.h"

namespace d2deploy {
namespace {

class InstructionSets : public testing::Test {
 protected:
  InstructionSets() { allow(""); }
  ~InstructionSets() override {
    if (before_.empty())
      unsetenv(kName);
    else
      setenv(kName, before_.c_str(), 1);
  }
  static void allow(const char* set) { setenv(kName, set, 1); }

 private:
  static constexpr const char* kName = "D2DEPLOY_INSTRUCTION_SET";
  std::string before_ = std::getenv(kName) == nullptr ? "" : std::getenv(kName);
};

TEST_F(InstructionSets, AreNoMoreThanTheEnvironmentAllows) {
  const bool avx2 = has_avx2(), avx512 = has_avx512();
  EXPECT_STREQ(packed_loops().name, avx512 ? "avx512" : avx2 ? "avx2" : "baseline");
  allow("avx512");
  EXPECT_EQ(has_avx512(), avx512);
  EXPECT_EQ(has_avx2(), avx2);
  allow("avx2");
  EXPECT_FALSE(has_avx512());
  EXPECT_EQ(has_avx2(), avx2);
  EXPECT_STREQ(packed_loops().name, avx2 ? "avx2" : "baseline");
  EXPECT_EQ(refuse_without_avx512(), "D2DEPLOY_INSTRUCTION_SET leaves no AVX-512");
  allow("baseline");
  EXPECT_FALSE(has_avx512());
  EXPECT_FALSE(has_avx2());
  EXPECT_STREQ(packed_loops().name, "baseline");
}

constexpr std::int64_t kRows = 5;
constexpr const char* kSets[] = {"baseline", "avx2", "avx512"};  // of those that the CPU lacks, the best it has

TEST_F(InstructionSets, GiveTheSameSoftmax) {
  for (const char* set : kSets)
    for (const std::int64_t n : {1, 2, 15, 16, 17, 81, 1000}) {
      allow(set);
      const auto x = noise(kRows * n, 1, 10);
      std::vector<float> y(x.size());
      softmax_f32(x.data(), kRows, n, y.data());
      for (std::int64_t r = 0; r < kRows; ++r) {
        const auto row = std::span(x).subspan(static_cast<std::size_t>(r * n), static_cast<std::size_t>(n));
        double sum = 0;
        for (const float v : row) sum += std::exp(static_cast<double>(v));
        for (std::size_t i = 0; i < row.size(); ++i) {
          const double wanted = std::exp(static_cast<double>(row[i])) / sum;
          // The difference to the largest is rounded once, and may be some 70: 4e-6 of the result.
          ASSERT_NEAR(y[static_cast<std::size_t>(r * n) + i], wanted, 5e-6 * wanted) << set << ", " << n << " numbers";
        }
      }
    }
}

TEST_F(InstructionSets, GiveTheSameLayerNorm) {
  constexpr float kEpsilon = 1e-3F;
  for (const char* set : kSets)
    for (const std::int64_t n : {1, 2, 15, 16, 17, 81, 1000}) {
      allow(set);
      const auto x = noise(kRows * n, 1, 10), gamma = noise(n, 2, 1), beta = noise(n, 3, 1);
      std::vector<float> y(x.size()), mean(kRows), deviation(kRows);
      layer_norm({n, kEpsilon, x.data(), gamma.data(), beta.data(), y.data(), mean.data(), deviation.data()}, 0, kRows);
      for (std::size_t r = 0; r < kRows; ++r) {
        const auto count = static_cast<std::size_t>(n);
        const auto row = std::span(x).subspan(r * count, count);
        double sum = 0, squares = 0;
        for (const float v : row) sum += static_cast<double>(v);
        const double centre = sum / static_cast<double>(n);
        for (const float v : row) squares += std::pow(static_cast<double>(v) - centre, 2);
        const double spread = std::sqrt(squares / static_cast<double>(n) + static_cast<double>(kEpsilon));
        ASSERT_NEAR(mean[r], centre, 1e-6) << set << ", " << n << " numbers";
        ASSERT_NEAR(deviation[r], spread, 1e-6 * spread) << set << ", " << n << " numbers";
        for (std::size_t i = 0; i < count; ++i)
          ASSERT_NEAR(y[r * count + i],
                      (static_cast<double>(row[i]) - centre) / spread * static_cast<double>(gamma[i]) +
                          static_cast<double>(beta[i]),
                      1e-5)
              << set << ", " << n << " numbers";
      }
    }
}

TEST_F(InstructionSets, GiveTheSameSoftmaxOfWhatIsNotFinite) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  for (const char* set : kSets)
    for (const std::size_t place : {0, 3, 20, 36}) {
      allow(set);
      for (const float v : {kNaN, kInfinity, -kInfinity}) {
        std::vector<float> x(37, 1.0F);
        x[place] = v;
        softmax_f32(x.data(), 1, 37, x.data());
        for (std::size_t i = 0; i < x.size(); ++i) {
          if (v != -kInfinity)
            EXPECT_TRUE(std::isnan(x[i])) << set << ", " << v << " at " << place;
          else
            EXPECT_NEAR(x[i], i == place ? 0 : 1 / 36.0, 1e-7) << set << ", " << v << " at " << place;
        }
      }
    }
}

TEST_F(InstructionSets, GiveTheSameSigmoid) {
  const auto x = noise(203, 2, 20);
  for (const char* set : kSets) {
    allow(set);
    std::vector<float> y(x.size());
    sigmoid_f32(x.data(), std::ssize(x), y.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double wanted = 1 / (1 + std::exp(-static_cast<double>(x[i])));
      EXPECT_NEAR(y[i], wanted, 4e-7 * wanted) << set << ", of " << x[i];
    }
  }
}

TEST_F(InstructionSets, PutImagesIntoTheSameOrder) {
  constexpr std::int64_t kChannels = 37, kHeight = 9, kWidth = 11, kPixels = kHeight * kWidth;
  const Tensor x = Tensor::of<float>({2, kChannels, kHeight, kWidth}, noise(2 * kChannels * kPixels, 3));
  for (const char* set : kSets) {
    allow(set);
    const Tensor y = reordered(x, Layout::channels_last);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const std::int64_t image = i / (kChannels * kPixels), c = i / kPixels % kChannels, pixel = i % kPixels;
      ASSERT_EQ(y.data<float>()[(image * kPixels + pixel) * kChannels + c], x.data<float>()[i]) << set;
    }
    const Tensor back = reordered(y, Layout::row_major);
    EXPECT_TRUE(std::ranges::equal(x.values<float>(), back.values<float>())) << set;
    Tensor same = x.clone();
    const void* memory = same.raw();
    reorder_in_place(same, Layout::channels_last);
    EXPECT_EQ(same.raw(), memory);
    EXPECT_EQ(same.type(), y.type());
    EXPECT_TRUE(std::ranges::equal(same.values<float>(), y.values<float>())) << set;
  }
}

// They have no memory to copy from, which the sanitizers look at.
TEST(ReorderInPlace, TakesConstantsWithoutElements) {
  for (const Shape& shape : {Shape{0, 2, 2, 2}, Shape{3, 0, 2, 2}, Shape{3, 2, 0, 2}}) {
    Tensor empty = Tensor::allocate({DType::float32, shape});
    reorder_in_place(empty, Layout::channels_last);
    EXPECT_EQ(empty.type(), (TensorType{DType::float32, shape, Layout::channels_last}));
  }
}

// Sums go row by row in float64, whose products of float32 are exact: no set has an order or a rounding of its own.
TEST_F(InstructionSets, GiveGroupNormTheSameBits) {
  constexpr std::int64_t kChannels = 104,
                         kCells = 300;  // three times the widest block, and a rest; two blocks of cells
  const auto x = noise(kChannels * kCells, 7), gamma = noise(kChannels, 8), beta = noise(kChannels, 9);
  const Maps maps{1, kChannels, kCells, true};
  std::vector<std::byte> scratch(group_norm_scratch_bytes(maps, 8));
  std::vector<std::vector<float>> results;
  for (const char* set : kSets) {
    allow(set);
    std::vector<float>& y = results.emplace_back(x.size());
    group_norm<float>({maps, 8, 1e-5F, false, x.data(), gamma.data(), beta.data(), y.data(), nullptr, nullptr},
                      scratch.data());
    EXPECT_TRUE(y == results.front()) << set;
  }
  double sum = 0;
  for (std::int64_t i = 0; i < kCells; ++i)
    for (std::int64_t c = 0; c < kChannels / 8; ++c) sum += x[static_cast<std::size_t>(i * kChannels + c)];
  const double mean = sum / (kCells * kChannels / 8), first = results[0][0], second = results[0][kChannels];
  const double scale = (first - second) / (static_cast<double>(x[0]) - x[kChannels]);
  EXPECT_NEAR(first, scale * (x[0] - mean) + beta[0], 1e-5);
}

#if defined(__x86_64__)
TEST_F(InstructionSets, OfAnotherNameAreRefused) {
  allow("sse9");
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)has_avx2(); }),
            "D2DEPLOY_INSTRUCTION_SET is 'sse9', must be avx512, avx2 or baseline");
}
#endif

}  // namespace
}  // namespace d2deploy
