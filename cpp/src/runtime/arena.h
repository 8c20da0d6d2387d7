// Places blocks that live for a while each into one piece of memory.
#pragma once
#include <cstddef>
#include <vector>

namespace d2deploy {

struct Block {
  std::size_t bytes = 0;
  std::size_t first = 0, last = 0;  ///< steps in which it is in use, both inclusive
  std::size_t offset = 0;           ///< the answer
};

/// Sets every offset so that blocks in use at the same time do not overlap; returns the bytes needed.
/// Largest first, each at the lowest place that is free: within a few percent of the best for nets. Beyond the 4096
/// largest, which no net has, in the order of time into what becomes free.
std::size_t place(std::vector<Block>& blocks);

}  // namespace d2deploy
