#include "runtime/arena.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <queue>
#include <set>
#include <span>

#include "core/memory.h"

namespace d2deploy {

namespace {

using Indices = std::vector<std::size_t>;

// Each at the lowest place that is free, those first that take much for long: the best there is for most nets, but each
// looks at all before it.
std::size_t place_lowest(std::vector<Block>& blocks, std::span<const std::size_t> order) {
  Indices placed;  // by offset
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

// Memory that grows; what is given back is used again, the smallest stretch that suffices first.
class Memory {
 public:
  std::size_t take(std::size_t bytes) {
    auto fit = by_size_.lower_bound({bytes, 0});
    if (fit == by_size_.end()) {
      grow(bytes);
      fit = by_size_.lower_bound({bytes, 0});
    }
    const auto [size, offset] = *fit;
    remove(offset, size);
    if (size > bytes) add(offset + bytes, size - bytes);
    return offset;
  }

  void give_back(std::size_t offset, std::size_t bytes) {
    auto next = by_place_.lower_bound(offset);
    if (next != by_place_.end() && next->first == offset + bytes) {
      bytes += next->second;
      remove(next->first, next->second);
      next = by_place_.lower_bound(offset);
    }
    if (next != by_place_.begin()) {
      const auto [before, size] = *std::prev(next);
      if (before + size == offset) {
        remove(before, size);
        offset = before;
        bytes += size;
      }
    }
    add(offset, bytes);
  }

  std::size_t size() const { return end_; }

 private:
  // A stretch at the end that is free already becomes part of what is wanted.
  void grow(std::size_t bytes) {
    const auto last = by_place_.empty() ? by_place_.end() : std::prev(by_place_.end());
    const bool at_end = last != by_place_.end() && last->first + last->second == end_;
    const std::size_t more = bytes - (at_end ? last->second : 0), offset = end_;
    end_ += more;
    give_back(offset, more);
  }
  void add(std::size_t offset, std::size_t bytes) {
    by_place_[offset] = bytes;
    by_size_.emplace(bytes, offset);
  }
  void remove(std::size_t offset, std::size_t bytes) {
    by_place_.erase(offset);
    by_size_.erase({bytes, offset});
  }

  std::map<std::size_t, std::size_t> by_place_;            // offset -> bytes
  std::set<std::pair<std::size_t, std::size_t>> by_size_;  // bytes, offset
  std::size_t end_ = 0;
};

// In the order in which they come into use, from `start` on.
std::size_t place_in_time(std::vector<Block>& blocks, Indices order, std::size_t start) {
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return blocks[i].first; });
  Memory memory;
  using End = std::pair<std::size_t, std::size_t>;  // step, block
  std::priority_queue<End, std::vector<End>, std::greater<>> in_use;
  for (const auto i : order) {
    Block& block = blocks[i];
    for (; !in_use.empty() && in_use.top().first < block.first; in_use.pop()) {
      const Block& done = blocks[in_use.top().second];
      memory.give_back(done.offset - start, align_up(done.bytes));
    }
    block.offset = start;
    if (block.bytes == 0) continue;
    block.offset += memory.take(align_up(block.bytes));
    in_use.emplace(block.last, i);
  }
  return start + memory.size();
}

}  // namespace

std::size_t place(std::vector<Block>& blocks) {
  Indices order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // Of size and duration alone either leaves gaps that nothing fits into.
  const auto weight = [&](std::size_t i) {
    const auto bytes = static_cast<double>(blocks[i].bytes);
    return bytes * bytes * static_cast<double>(blocks[i].last - blocks[i].first + 1);
  };
  std::ranges::stable_sort(order, std::greater<>(), weight);
  constexpr std::size_t kMostLowest = 4096;  // ten times as many as a large net has
  const std::size_t lowest = std::min(order.size(), kMostLowest);
  const std::size_t total = place_lowest(blocks, std::span(order).first(lowest));
  return place_in_time(blocks, Indices(order.begin() + static_cast<std::ptrdiff_t>(lowest), order.end()), total);
}

}  // namespace d2deploy
