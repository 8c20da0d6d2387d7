// Which of a map's scores are candidates, and in which order: what all kernels do in the same way where scores are
// equal.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace d2deploy {

struct AnchorGrid {
  std::int64_t anchors, height, width;

  SIMT_HOST_DEVICE std::int64_t count() const { return anchors * height * width; }
};

/// The sorting functions of the standard library, by which CPUs sort cells.
struct StandardSorting {
  template <class Less>
  static void sort(std::int32_t* first, std::int64_t count, Less less) {
    std::sort(first, first + count, less);
  }
  template <class Less>
  static void partial_sort(std::int32_t* first, std::int64_t middle, std::int64_t count, Less less) {
    std::partial_sort(first, first + middle, first + count, less);
  }
  template <class Less>
  static void nth_element(std::int32_t* first, std::int64_t nth, std::int64_t count, Less less) {
    std::nth_element(first, first + nth, first + count, less);
  }
};

/// Sorts cells, which are positions in the order (A, H, W), by rank alone: which of two equal ranks comes first is what
/// the sorting functions make of it, so these are the ones that Caffe2 or PyTorch calls, on cells in the order in
/// which those list them. `order` has room for all cells; the candidates are at its front afterwards.
template <class Sorting>
SIMT_HOST_DEVICE void sort_cells(bool detectron2_order, const AnchorGrid& grid, const float* ranks,
                                 std::int64_t candidates, std::int32_t* order) {
  const std::int64_t count = grid.count(), cells = grid.height * grid.width;
  for (std::int64_t i = 0; i < count; ++i)  // in PyTorch's, anchors of a cell follow each other
    order[i] = static_cast<std::int32_t>(detectron2_order ? i % grid.anchors * cells + i / grid.anchors : i);
  const auto higher = [ranks](std::int32_t a, std::int32_t b) { return ranks[a] > ranks[b]; };
  if (detectron2_order ? candidates * 64 <= count : candidates < count) {
    Sorting::partial_sort(order, candidates, count, higher);
  } else if (detectron2_order && candidates > 0) {
    Sorting::nth_element(order, candidates - 1, count, higher);
    Sorting::sort(order, candidates - 1, higher);
  } else {
    Sorting::sort(order, candidates, higher);
  }
}

}  // namespace d2deploy
