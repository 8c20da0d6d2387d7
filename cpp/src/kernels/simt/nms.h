// Non-maximum suppression on GPUs, of upright and of rotated boxes: what greedy_nms (kernels/nms.h) keeps.
//
// Where there may be few candidates, all of them are compared with each other at once; which are kept is then read off
// the bits. Where there may be many more, the bits would not fit, and where there are many lists, they need no more
// than a block each: it goes through the boxes tile by tile.
#pragma once
#include "kernels/rotated_boxes.h"
#include "kernels/simt/ranks.h"

namespace d2deploy::simt {

struct UprightBoxes {
  static constexpr int kColumns = 4;
  struct Frame {
    Box box;
    float area;
  };
  SIMT_DEVICE static Frame load(const float* p, float plus_one) {
    const Box b = load_box(p);
    return {b, area(b, plus_one)};
  }
  SIMT_DEVICE static float overlap(const Frame& a, const Frame& b, float plus_one) {
    return iou(a.box, a.area, b.box, b.area, plus_one);
  }
};

struct RotatedBoxes {
  static constexpr int kColumns = 5;
  using Frame = RotatedFrame;
  SIMT_DEVICE static Frame load(const float* p, float) { return rotated_frame(load_rotated_box(p)); }
  SIMT_DEVICE static float overlap(const Frame& a, const Frame& b, float) { return iou(a, b); }
};

struct NmsRule {
  float threshold, plus_one;
  int limit;  ///< most boxes to keep; <= 0: all
};

// ---- All at once -----------------------------------------------------------------------------------------

constexpr int kNmsTile = 64;  // boxes by bits of a word
SIMT_HOST_DEVICE constexpr int nms_tiles(int boxes) { return (boxes + kNmsTile - 1) / kNmsTile; }

/// Segments of up to `most` boxes each, the best first, and for each segment how many there are.
struct NmsSegments {
  const float* boxes;          ///< (segments, most, columns)
  const std::int32_t* counts;  ///< (segments)
  int most;
  Word* mask;  ///< (segments, most, nms_tiles(most)): bit j of word t of row i: box i suppresses box 64 t + j
};

/// Fills the mask, as far as nms_read reads it. Blocks (tiles, tiles, segments) of kNmsTile threads.
template <class Boxes>
SIMT_KERNEL nms_compare(NmsSegments s, NmsRule rule) {
  using Frame = typename Boxes::Frame;
  SIMT_SHARED(Frame, tile, kNmsTile);
  const int count = s.counts[blockIdx.z], thread = static_cast<int>(threadIdx.x);
  const int row = static_cast<int>(blockIdx.y) * kNmsTile, column = static_cast<int>(blockIdx.x) * kNmsTile;
  if (row >= count || column >= count || column < row) return;
  const float* boxes = s.boxes + std::int64_t{blockIdx.z} * s.most * Boxes::kColumns;
  if (column + thread < count) tile[thread] = Boxes::load(boxes + (column + thread) * Boxes::kColumns, rule.plus_one);
  __syncthreads();
  if (row + thread >= count) return;
  const Frame own = Boxes::load(boxes + (row + thread) * Boxes::kColumns, rule.plus_one);
  const int end = std::min(+kNmsTile, count - column);
  Word bits = 0;
  for (int j = row == column ? thread + 1 : 0; j < end; ++j)
    if (!(Boxes::overlap(own, tile[j], rule.plus_one) <= rule.threshold)) bits |= Word{1} << j;
  s.mask[(std::int64_t{blockIdx.z} * s.most + row + thread) * nms_tiles(s.most) + blockIdx.x] = bits;
}

/// Which of up to 64 boxes are kept: those of `gone` are not, and each that is suppresses those of its `row`. A lane
/// brings the rows of two boxes, of that with its number and of the one 32 behind; all lanes get the answer.
SIMT_DEVICE inline Word nms_of_tile(int boxes, Word gone, Word low, Word high) {
  constexpr int kLanes = static_cast<int>(kWarp);
  const Word all = boxes < kNmsTile ? (Word{1} << boxes) - 1 : ~Word{0};
  Word keep = 0;
  for (Word left = all & ~gone; left != 0;) {
    const int i = __ffsll(static_cast<long long>(left)) - 1;
    const Word own = Word{1} << i, row = __shfl_sync(kAllLanes, i < kLanes ? low : high, i % kLanes);
    keep |= own;
    left &= ~(own | row);
  }
  return keep;
}

/// Lists the boxes of a tile that are kept, behind `total` others, as far as there are not more than `limit` (<= 0: any
/// number). By a warp; `first` is the tile's first box.
SIMT_DEVICE inline void list_tile(Word keep, int first, int total, int limit, std::int32_t* kept) {
  for (int i = static_cast<int>(threadIdx.x % kWarp); i < kNmsTile; i += static_cast<int>(kWarp)) {
    if ((keep >> i & 1) == 0) continue;
    const int at = total + __popcll(keep & ((Word{1} << i) - 1));
    if (limit <= 0 || at < limit) kept[at] = first + i;
  }
}

constexpr unsigned kNmsReaders = 256;

/// Boxes of as many tiles have a word for each lane.
constexpr int kNmsTilesAhead = static_cast<int>(kWarp);

/// What the mask leads to, by a block of kNmsReaders threads. `removed`: a word for each tile, whose bits say which
/// boxes take no part; they are written. `kept` has room for all boxes. Returns: how many are kept.
SIMT_DEVICE inline int nms_read(const Word* mask, int count, int most, int limit, Word* removed, std::int32_t* kept) {
  SIMT_SHARED(Word, chosen, 1);
  constexpr int kLanes = static_cast<int>(kWarp), kEach = kNmsTile / static_cast<int>(kNmsReaders / kWarp);
  const int lane = static_cast<int>(threadIdx.x % kWarp), warp = static_cast<int>(threadIdx.x / kWarp);
  const int stride = nms_tiles(most), tiles = nms_tiles(count);
  const auto own_word = [&](int box, int tile) { return box < count ? mask[std::int64_t{box} * stride + tile] : 0; };
  // The words of a warp's rows of a tile, one a lane: they are read while the tile before is gone through.
  const bool ahead = tiles <= kNmsTilesAhead;
  Word words[kEach] = {};
  const auto read_rows = [&](int tile) {
    SIMT_UNROLL
    for (int n = 0; n < kEach; ++n) {
      const int row = tile * kNmsTile + warp * kEach + n;
      words[n] = row < count && lane > tile && lane < tiles ? mask[std::int64_t{row} * stride + lane] : 0;
    }
  };
  int total = 0;
  Word low = own_word(lane, 0), high = own_word(lane + kLanes, 0);
  if (ahead) read_rows(0);
  for (int tile = 0; tile < tiles && (limit <= 0 || total < limit); ++tile) {
    const int first = tile * kNmsTile, here = std::min(+kNmsTile, count - first);
    if (warp == 0) {
      const Word keep = nms_of_tile(here, removed[tile], low, high);
      list_tile(keep, first, total, limit, kept);
      if (lane == 0) chosen[0] = keep;
      low = own_word(first + kNmsTile + lane, tile + 1);
      high = own_word(first + kNmsTile + lane + kLanes, tile + 1);
    }
    __syncthreads();
    const Word keep = chosen[0];
    total += __popcll(keep);
    const auto remove = [&](int t) {
      Word sum = 0;
      SIMT_UNROLL
      for (int n = 0; n < kEach; ++n)
        if ((keep >> (warp * kEach + n) & 1) != 0) sum |= words[n];
      if (sum != 0) atomicOr(&removed[t], sum);
    };
    if (ahead) {
      remove(lane);
      read_rows(tile + 1);
    } else {
      const Word* rows = mask + std::int64_t{first + warp * kEach} * stride;
      for (int t = tile + 1 + lane; t < tiles; t += kLanes) {
        SIMT_UNROLL
        for (int n = 0; n < kEach; ++n) words[n] = (keep >> (warp * kEach + n) & 1) != 0 ? rows[n * stride + t] : 0;
        remove(t);
      }
    }
    __syncthreads();
  }
  return limit > 0 ? std::min(total, limit) : total;
}

// ---- Tile by tile ----------------------------------------------------------------------------------------

/// Greedy suppression by all threads of a block, of which a tile of boxes at a time is compared with each other and
/// then with all behind it. `box_of(i)` is where candidate i stands, the best first; `dropped` says by candidate
/// whether it takes no part, and is written; `kept` has room for all of them. Returns: how many are kept.
template <class Boxes, class BoxOf>
SIMT_DEVICE int nms_of_block(const NmsRule& rule, int candidates, const BoxOf& box_of, std::uint8_t* dropped,
                             std::int32_t* kept) {
  using Frame = typename Boxes::Frame;
  SIMT_SHARED(Frame, tile, kNmsTile);
  SIMT_SHARED(Word, suppressed, kNmsTile);  // by each box of the tile
  SIMT_SHARED(Word, chosen, 1);
  constexpr int kLanes = static_cast<int>(kWarp);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const auto load = [&](int i) { return Boxes::load(box_of(i), rule.plus_one); };
  const auto suppresses = [&](const Frame& a, const Frame& b) {
    return !(Boxes::overlap(a, b, rule.plus_one) <= rule.threshold);
  };
  int total = 0;
  for (int first = 0; first < candidates && (rule.limit <= 0 || total < rule.limit); first += kNmsTile) {
    const int here = std::min(+kNmsTile, candidates - first);
    for (int i = thread; i < here; i += threads) {
      tile[i] = load(first + i);
      suppressed[i] = 0;
    }
    __syncthreads();
    for (int pair = thread; pair < here * kNmsTile; pair += threads) {
      const int i = pair / kNmsTile, j = pair % kNmsTile;
      if (j <= i || j >= here || dropped[first + i] != 0 || dropped[first + j] != 0) continue;
      if (suppresses(tile[i], tile[j])) atomicOr(&suppressed[i], Word{1} << j);
    }
    __syncthreads();
    if (thread < kLanes) {
      const auto is_gone = [&](int i) { return i < here && dropped[first + i] != 0 ? 1 : 0; };
      const Word gone = __ballot_sync(kAllLanes, is_gone(thread)) |
                        Word{__ballot_sync(kAllLanes, is_gone(thread + kLanes))} << kLanes;
      const auto row = [&](int i) { return i < here ? suppressed[i] : 0; };
      const Word keep = nms_of_tile(here, gone, row(thread), row(thread + kLanes));
      list_tile(keep, first, total, rule.limit, kept);
      if (thread == 0) chosen[0] = keep;
    }
    __syncthreads();
    const Word keep = chosen[0];
    total += __popcll(keep);
    for (int j = first + kNmsTile + thread; j < candidates; j += threads) {
      if (dropped[j] != 0) continue;
      const Frame own = load(j);
      for (Word left = keep; left != 0 && dropped[j] == 0; left &= left - 1)
        if (suppresses(tile[__ffsll(static_cast<long long>(left)) - 1], own)) dropped[j] = 1;
    }
    __syncthreads();
  }
  return rule.limit > 0 ? std::min(total, rule.limit) : total;
}

}  // namespace d2deploy::simt
