// Placing blocks: those in use together never overlap, and the known best is found where it is simple.
#include "runtime/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/memory.h"

using namespace d2deploy;

namespace {

constexpr std::size_t kLine = kAlignment;

// The first fault: blocks that overlap, are not aligned, or end behind the total.
std::string fault_of(const std::vector<Block>& blocks, std::size_t total) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const Block& a = blocks[i];
    const auto who = "block " + std::to_string(i);
    if (a.offset % kAlignment != 0) return who + " is not aligned";
    if (a.offset + a.bytes > total) return who + " ends behind the total";
    for (std::size_t j = 0; j < i; ++j) {
      const Block& b = blocks[j];
      const bool together = a.first <= b.last && b.first <= a.last;
      const bool overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
      if (together && overlap) return who + " overlaps block " + std::to_string(j);
    }
  }
  return {};
}

// No placement needs less than what is in use in the fullest step.
std::size_t fullest_step(const std::vector<Block>& blocks) {
  std::size_t most = 0;
  for (const auto& at : blocks) {
    std::size_t sum = 0;
    for (const auto& b : blocks)
      if (b.first <= at.first && at.first <= b.last) sum += align_up(b.bytes);
    most = std::max(most, sum);
  }
  return most;
}

TEST(Arena, NothingNeedsNothing) {
  std::vector<Block> none;
  EXPECT_EQ(place(none), 0U);
}

TEST(Arena, OneBlockIsRoundedUpToACacheLine) {
  std::vector<Block> blocks{{1, 0, 3}};
  EXPECT_EQ(place(blocks), kLine);
  EXPECT_EQ(blocks[0].offset, 0U);
}

TEST(Arena, AChainTakesTheTwoLargestNeighbours) {
  // Each block lives while it is made and while the next one is made from it.
  std::vector<Block> blocks{{2 * kLine, 0, 1}, {6 * kLine, 1, 2}, {3 * kLine, 2, 3}, {kLine, 3, 4}, {2 * kLine, 4, 5}};
  EXPECT_EQ(place(blocks), 9 * kLine);
  EXPECT_EQ(fault_of(blocks, 9 * kLine), "");
}

TEST(Arena, BlocksOfOtherTimesShareOnePlace) {
  std::vector<Block> blocks{{5 * kLine, 0, 0}, {5 * kLine, 1, 1}, {5 * kLine, 2, 2}};
  EXPECT_EQ(place(blocks), 5 * kLine);
}

TEST(Arena, LivesIncludeTheirLastStep) {
  std::vector<Block> blocks{{kLine, 0, 1}, {kLine, 1, 2}};
  EXPECT_EQ(place(blocks), 2 * kLine);
}

TEST(Arena, AGapBetweenBlocksIsFilled) {
  // a and c live long, b between them ends early; d fits where b was.
  std::vector<Block> blocks{{8 * kLine, 0, 9}, {6 * kLine, 0, 3}, {7 * kLine, 0, 9}, {5 * kLine, 4, 9}};
  const std::size_t total = place(blocks);
  EXPECT_EQ(fault_of(blocks, total), "");
  EXPECT_EQ(total, 21 * kLine);
}

TEST(Arena, AnEmptyBlockTakesNoRoom) {
  std::vector<Block> blocks{{kLine, 0, 5}, {0, 0, 5}};
  EXPECT_EQ(place(blocks), kLine);
}

TEST(Arena, RandomBlocksNeverOverlap) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto upto = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n)(random); };
  for (int round = 0; round < 300; ++round) {
    std::vector<Block> blocks(upto(60) + 1);
    for (auto& b : blocks) {
      b.bytes = upto(3) == 0 ? upto(40) : upto(20000);
      b.first = upto(30);
      b.last = b.first + (upto(3) == 0 ? upto(30) : upto(3));
    }
    const std::size_t total = place(blocks);
    ASSERT_EQ(fault_of(blocks, total), "") << "round " << round;
    ASSERT_GE(total + blocks.size() * kLine, fullest_step(blocks)) << "round " << round;
    std::size_t sum = 0;
    for (const auto& b : blocks) sum += align_up(b.bytes);
    ASSERT_LE(total, sum) << "round " << round;
  }
}

// More than are placed largest first. 4096 blocks are chained already; those that follow find the place of two.
TEST(Arena, ALongChainTakesTheRoomOfAShortOne) {
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < 20000; ++i) blocks.push_back({kLine, i, i + 1});
  EXPECT_EQ(place(blocks), 4 * kLine);
  EXPECT_EQ(place(blocks), 4 * kLine);  // offsets that are there do not matter
  for (std::size_t i = 1; i < blocks.size(); ++i) ASSERT_NE(blocks[i].offset, blocks[i - 1].offset) << i;
}

TEST(Arena, ManyRandomBlocksNeverOverlap) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto upto = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n)(random); };
  std::vector<Block> blocks(7000);
  for (auto& b : blocks) {
    b.bytes = upto(3) == 0 ? upto(40) : upto(20000);
    b.first = upto(3000);
    b.last = b.first + (upto(3) == 0 ? upto(30) : upto(3));
  }
  const std::size_t total = place(blocks);
  EXPECT_EQ(fault_of(blocks, total), "");
  EXPECT_LE(total, 2 * fullest_step(blocks));
}

}  // namespace
