// The outlines of masks, from the runs of their columns alone.
#include <algorithm>
#include <tuple>

#include "core/check.h"
#include "d2deploy/mask.h"
#include "detector/runs.h"

namespace d2deploy {

namespace {

// Every run has two edges one pixel wide: its top, walked from left to right, and its bottom, from right to left. With
// the mask always to the right of the walker they are joined to outlines, by vertical lines between columns.
class Outlines {
 public:
  explicit Outlines(const RunLengths& code) {
    for_each_run(code, [&](const Run& run) {
      // A code of zeros within a column may cut a run in two.
      if (!runs_.empty() && runs_.back().x == run.x && runs_.back().end == run.begin)
        runs_.back().end = run.end;
      else
        runs_.push_back(run);
    });
    next_.resize(2 * runs_.size());
    join_edges();
  }

  Polygons outer() const {
    Polygons found;
    std::vector<bool> seen(next_.size(), false);
    for (std::size_t first = 0; first < next_.size(); first += 2) {  // each outline has a top
      if (seen[first]) continue;
      std::vector<std::int32_t> points;
      std::int64_t area = 0;
      for (std::size_t e = first; !seen[e]; e = next_[e]) {
        seen[e] = true;
        area += is_top(e) ? -y(e) : y(e);
        if (y(e) == y(next_[e])) continue;  // straight on
        points.insert(points.end(), {end_x(e), y(e), end_x(e), y(next_[e])});
      }
      if (area <= 0) continue;  // of a hole: walked the other way round
      std::rotate(points.begin(), points.end() - 2, points.end());
      found.push_back(std::move(points));
    }
    return found;
  }

 private:
  static bool is_top(std::size_t edge) { return edge % 2 == 0; }
  std::int32_t y(std::size_t edge) const {
    const Run& run = runs_[edge / 2];
    return static_cast<std::int32_t>(is_top(edge) ? run.begin : run.end);
  }
  // Where the edge ends, and the next one begins.
  std::int32_t end_x(std::size_t edge) const {
    return static_cast<std::int32_t>(runs_[edge / 2].x) + (is_top(edge) ? 1 : 0);
  }
  std::size_t end_of_column(std::size_t run) const {
    std::size_t end = run;
    while (end < runs_.size() && runs_[end].x == runs_[run].x) ++end;
    return end;
  }

  // Runs [left, right) are one column, [right, end) the one to the right of it; either may be empty. On the line
  // between them, from the top to the bottom, one pixel is of the mask and the other is not after every first, third,
  // ... edge that is met, until the next one: the two are joined. Of edges at one height tops come first, so that
  // pixels that touch with their corners are of one part.
  void join_columns(std::size_t left, std::size_t right, std::size_t end) {
    std::size_t l = 2 * left, r = 2 * right, before = 0;
    for (bool second = false; l < 2 * right || r < 2 * end; second = !second) {
      const bool from_left =
          r == 2 * end || (l < 2 * right && std::tuple(y(l), !is_top(l)) <= std::tuple(y(r), !is_top(r)));
      const std::size_t edge = from_left ? l++ : r++;
      const bool arrives = from_left == is_top(edge);  // on this line
      if (second) next_[arrives ? edge : before] = arrives ? before : edge;
      before = edge;
    }
  }

  void join_edges() {
    std::size_t left = 0, right = 0;  // the column before is [left, right)
    while (right < runs_.size()) {
      const std::size_t end = end_of_column(right);
      const bool adjacent = left < right && runs_[left].x + 1 == runs_[right].x;
      if (!adjacent) join_columns(left, right, right);
      join_columns(adjacent ? left : right, right, end);
      left = right;
      right = end;
    }
    join_columns(left, right, right);
  }

  std::vector<Run> runs_;
  std::vector<std::size_t> next_;  // edges 2 i and 2 i + 1 are the top and bottom of run i
};

}  // namespace

Polygons polygons(const RunLengths& runs) {
  return guarded([&] {
    check_runs("polygons", runs);
    constexpr std::int64_t kMostSide = INT32_MAX;
    check(runs.height <= kMostSide && runs.width <= kMostSide, "polygons: the image is ", runs.height, " x ",
          runs.width, " pixels large, wanted at most ", kMostSide, " on a side");
    return Outlines(runs).outer();
  });
}

}  // namespace d2deploy
