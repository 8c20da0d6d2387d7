#include "runtime/arena.h"

#include <algorithm>
#include <numeric>

#include "core/memory.h"

namespace d2deploy {

std::size_t place(std::vector<Block>& blocks) {
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t i) { return blocks[i].bytes; });
  std::vector<std::size_t> placed;  // by offset
  std::size_t total = 0;
  for (const auto i : order) {
    Block& block = blocks[i];
    block.offset = 0;
    for (const auto j : placed) {
      const Block& other = blocks[j];
      if (other.last < block.first || block.last < other.first) continue;
      if (block.offset + block.bytes <= other.offset) break;
      block.offset = std::max(block.offset, align_up(other.offset + other.bytes));
    }
    total = std::max(total, align_up(block.offset + block.bytes));
    placed.insert(std::ranges::upper_bound(placed, block.offset, {}, [&](std::size_t j) { return blocks[j].offset; }),
                  i);
  }
  return total;
}

}  // namespace d2deploy
