// Sorting and choosing by score in a block of threads, against the standard library's.
#include "kernels/simt/ranks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "kernels/simt/introsort.h"

namespace d2deploy {

namespace {

using namespace simt;
using simt::host::Order;
using simt::host::OrderScope;

constexpr Order kOrders[] = {Order::forward, Order::backward, Order::shuffled};

SIMT_KERNEL sort(Word* keys, int count) { sort_descending(keys, count); }

SIMT_KERNEL choose(const Word* keys, int count, int k, Word* chosen) {
  const Word key = bound_of_largest(k, [&](const auto& use) {
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) use(keys[i]);
  });
  if (threadIdx.x == blockDim.x - 1) *chosen = key;
}

// Many equal scores where `distinct` is small.
std::vector<Word> random_keys(int count, unsigned distinct) {
  std::mt19937 random(7);
  std::vector<Word> keys;
  for (unsigned i = 0; i < static_cast<unsigned>(count); ++i)
    keys.push_back(key_of(static_cast<float>(random() % distinct) - 3, i));
  return keys;
}

TEST(Ranks, OrderScores) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kAscending[] = {-kInfinity, -2, -1, -1e-40F, 0, 1e-40F, 1, 2, kInfinity};
  for (std::size_t i = 1; i < std::size(kAscending); ++i)
    EXPECT_LT(rank_of(kAscending[i - 1]), rank_of(kAscending[i])) << kAscending[i];
  EXPECT_EQ(rank_of(-0.0F), rank_of(0.0F));
  EXPECT_GT(key_of(1, 3), key_of(1, 4));
  EXPECT_GT(key_of(2, 4), key_of(1, 3));
  EXPECT_EQ(place_in(key_of(0.5F, 0xFFFFFFFFU)), 0xFFFFFFFFU);
  EXPECT_EQ(rank_in(key_of(0.5F, 7)), rank_of(0.5F));
}

TEST(Ranks, SortAnyNumberOfKeys) {
  for (const int count : {0, 1, 2, 3, 31, 32, 33, 63, 100, 257})
    for (const auto order : kOrders) {
      const OrderScope scope(order);
      auto keys = random_keys(count, 40), wanted = keys;
      std::ranges::sort(wanted, std::greater<>());
      launch("sort", sort, {1, 32}, keys.data(), count);
      EXPECT_EQ(keys, wanted) << count;
    }
}

TEST(Ranks, TellTheLargestFromTheOthers) {
  for (const unsigned distinct : {1U, 5U, 100000U}) {
    const auto keys = random_keys(200, distinct);
    for (const int k : {1, 2, 50, 199, 200}) {
      Word chosen = 0;
      launch("choose", choose, {1, 64}, keys.data(), 200, k, &chosen);
      const auto reach = std::ranges::count_if(keys, [&](Word key) { return key >= chosen; });
      EXPECT_EQ(reach, k) << k << " of " << distinct << " scores";
    }
  }
}

// Values that std::sort parts so badly that it runs out of depth: they are fixed while it asks for them, as late and as
// low as can be. *Source*: McIlroy, A Killer Adversary for Quicksort.
std::vector<int> worst_values(int count) {
  std::vector<int> values(static_cast<std::size_t>(count), count), places;
  int fixed = 0, candidate = 0;
  for (int i = 0; i < count; ++i) places.push_back(i);
  const auto value = [&](int i) -> int& { return values[static_cast<std::size_t>(i)]; };
  std::sort(places.begin(), places.end(), [&](int a, int b) {
    if (value(a) == count && value(b) == count) value(a == candidate ? a : b) = fixed++;
    if (value(a) == count)
      candidate = a;
    else if (value(b) == count)
      candidate = b;
    return value(a) < value(b);
  });
  return values;
}

// Keys, of which each knows where it came from: of few values, rising, falling, and the worst.
std::vector<std::vector<std::pair<int, int>>> many_keys(int count) {
  std::mt19937 random(3);
  std::vector<std::vector<std::pair<int, int>>> lists(7);
  const auto worst = worst_values(count);
  for (int i = 0; i < count; ++i) {
    const int bad = worst[static_cast<std::size_t>(i)];
    std::size_t kind = 0;
    for (const int value :
         {0, static_cast<int>(random() % 3), static_cast<int>(random() % 200), i / 3, -i / 3, bad, bad / 2})
      lists[kind++].emplace_back(value, i);
  }
  return lists;
}

TEST(Introsort, OrdersEqualKeysAsTheStandardLibraryDoes) {
  const auto less = [](const auto& a, const auto& b) { return a.first < b.first; };
  for (const int count : {0, 1, 2, 3, 4, 15, 16, 17, 18, 40, 100, 333, 2000})
    for (const auto& keys : many_keys(count)) {
      auto have = keys, want = keys;
      sort_as_host(have.data(), count, less);
      std::sort(want.begin(), want.end(), less);
      EXPECT_EQ(have, want) << count;
      for (const int part : {1, count / 64, count / 3, count - 1, count}) {
        if (part < 1 || part > count) continue;
        have = want = keys;
        partial_sort_as_host(have.data(), part, count, less);
        std::partial_sort(want.begin(), want.begin() + part, want.end(), less);
        EXPECT_EQ(have, want) << part << " of " << count;
        have = want = keys;
        nth_element_as_host(have.data(), part - 1, count, less);
        std::nth_element(want.begin(), want.begin() + part - 1, want.end(), less);
        EXPECT_EQ(have, want) << part << "th of " << count;
      }
    }
}

}  // namespace
}  // namespace d2deploy
