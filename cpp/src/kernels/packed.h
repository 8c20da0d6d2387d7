// Products of matrices in packed blocks, in float32: what Winograd's and the direct convolutions stand on. Files for
// one instruction set include this: plain data and plain declarations only.
//
// With v floats in a vector, r rows in a block and n columns in a panel, as the set in use has them, the matrices lie
// as
//   A, C: [row block][column / v][r][v]      B: [column / n][k][n]
// padded with zeros to whole vectors, rows and panels. So a block of A is read front to back, and every address inside
// of the innermost loop is one pointer and a constant.
#pragma once
#include <cstdint>

namespace d2deploy {

/// C = A x B on some panels of B. Steps are in floats.
struct PackedProduct {
  const float* a;
  std::int64_t a_step;      ///< from one row block to the next
  std::int64_t row_blocks;  ///< at least 1
  std::int64_t depth;       ///< columns of A that are multiplied: a multiple of v
  const float* b;
  std::int64_t b_step;       ///< from one panel to the next
  std::int64_t first, last;  ///< panels of B, and of C
  float* c;
  std::int64_t c_step;  ///< from one row block to the next
  bool accumulate;      ///< C += A x B
  /// Floats that are needed soon: called into the cache meanwhile. May be none.
  const float* next;
  std::int64_t next_floats;
};

/// What is done with sums of C on their way into rows of channels.
struct PackedFinish {
  const float* bias;    ///< one for each channel; may be null
  const float* addend;  ///< laid out like the output, which it may be; may be null
  bool relu;            ///< NaN stays NaN
};

/// The loops, compiled for one instruction set.
struct PackedLoops {
  const char* name;
  std::int64_t width, rows, panel;  ///< v, r and n

  /// Each sum runs over k in pieces of one length, whatever else is asked: equal rows get equal bits.
  void (*multiply)(const PackedProduct& product);
  /// Columns [0, columns) of one row block of A: rows[i] points to those of row i, null stands for zeros.
  void (*pack_rows)(const float* const* rows, std::int64_t columns, float* a);
  /// One panel of B, of `depth` rows of which `columns` stay: element (k, j) is from[k * k_step + j * column_step].
  void (*pack_panel)(const float* from, std::int64_t k_step, std::int64_t column_step, std::int64_t depth,
                     std::int64_t columns, float* b);
  /// Row i of a row block of C becomes y[offset .. offset + channels), with the addend at the same offset.
  void (*finish_row)(const float* c, std::int64_t i, std::int64_t channels, const PackedFinish& finish,
                     std::int64_t offset, float* y);
};

/// For every CPU of the kind, and for those that have has_avx2() and has_avx512().
const PackedLoops& packed_baseline();
const PackedLoops& packed_avx2();
const PackedLoops& packed_avx512();

/// The best for this CPU.
const PackedLoops& packed_loops();

/// The rank of a product of rows that are images or regions, oneDNN's being 0. Without AVX-512 oneDNN adds up in an
/// order that depends on how many rows there are, so that an image would not get in a batch what it gets alone.
int rank_of_packed_rows();

// Static, deliberately: files for one instruction set keep their own.
static constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
static constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return divide_up(a, b) * b; }

/// Floats of one row block of `columns` columns, and of one panel of `depth` rows.
static inline std::int64_t row_block_floats(const PackedLoops& loops, std::int64_t columns) {
  return round_up(columns, loops.width) * loops.rows;
}
static inline std::int64_t panel_floats(const PackedLoops& loops, std::int64_t depth) {
  return round_up(depth, loops.width) * loops.panel;
}
static inline std::int64_t panels(const PackedLoops& loops, std::int64_t columns) {
  return divide_up(columns, loops.panel);
}

}  // namespace d2deploy
