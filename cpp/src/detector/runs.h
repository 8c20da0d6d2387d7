// The pixels of a run-length code, column by column.
#pragma once
#include <algorithm>
#include <cstdint>

#include "d2deploy/mask.h"

namespace d2deploy {

/// Throws InvalidArgument unless the counts are those of a bitmap of that height and width.
void check_runs(const char* caller, const RunLengths& runs);

/// Rows [begin, end) of column x.
struct Run {
  std::int64_t x, begin, end;
};

/// Calls use(Run) for all pixels that are 1, each column for itself, from left to right and from top to bottom.
template <class Use>
void for_each_run(const RunLengths& runs, const Use& use) {
  std::int64_t x = 0, y = 0;
  bool bit = false;
  for (const std::uint32_t count : runs.counts) {
    for (std::int64_t left = count; left > 0;) {
      const std::int64_t part = std::min(left, runs.height - y);
      if (bit) use(Run{x, y, y + part});
      left -= part;
      y += part;
      if (y == runs.height) {
        y = 0;
        ++x;
      }
    }
    bit = !bit;
  }
}

}  // namespace d2deploy
