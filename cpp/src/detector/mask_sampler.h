// The mask of a box, sampled at the pixels of an image, without a look at pixels that coarser facts decide.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace d2deploy {

/// Pixels [begin, end) of one axis that fall between the same two cells of a mask: `cell` - 1 and `cell`.
struct AxisSegment {
  std::int64_t begin, end, cell;
};

/// The pixels of one axis that are sampled, and where in the mask each of them falls.
struct SampledAxis {
  std::int64_t begin = 0, end = 0;
  std::vector<double> fraction;       ///< of pixel begin + i, the way from the one cell to the other
  std::vector<AxisSegment> segments;  ///< in order; together all pixels
};

/// A mask over an image: pixel (x, y) is set where
///   u = (x + 0.5 - x1) / (x2 - x1) * side - 0.5, v alike;  bilinear(mask, u, v) >= threshold
/// with zeros around the mask. In float64: where a value is so near the threshold that float32 would matter, neither
/// answer is better, and this one depends on no order of sums.
///
/// Between four neighbouring cells the value is between theirs. Where all four are on one side of the threshold, so
/// are all pixels between them; the others, along the outline alone in most masks, are computed one by one.
class MaskSampler {
 public:
  /// Keeps a view of `mask`. Throws InvalidArgument as paste_mask; `caller` is for the message.
  MaskSampler(const char* caller, std::span<const float> mask, std::int64_t side, std::span<const float, 4> box,
              std::int64_t height, std::int64_t width, float threshold);

  /// Only pixels of these columns and rows can be set.
  const SampledAxis& xs() const { return xs_; }
  const SampledAxis& ys() const { return ys_; }
  bool empty() const { return xs_.begin >= xs_.end || ys_.begin >= ys_.end; }

  /// Writes 0 or 1 to all pixels of those columns and rows; the first is at `pixels`, a row is `stride` long.
  void paste(std::uint8_t* pixels, std::int64_t stride) const;

  /// Calls put(bit, count) for the pixels of those rows, column by column, from the top of each, and next_column()
  /// between two columns.
  template <class Put, class NextColumn>
  void scan_columns(const Put& put, const NextColumn& next_column) const {
    std::vector<Block> blocks;
    std::vector<std::uint8_t> bits(ys_.end - ys_.begin);
    for (const AxisSegment& column : xs_.segments) {
      blocks_of_columns(column, blocks);
      for (std::int64_t x = column.begin; x < column.end; ++x) {
        if (x > xs_.begin) next_column();
        for (const Block& block : blocks) {
          if (block.state != State::mixed) {
            put(block.state == State::set, block.end - block.begin);
            continue;
          }
          if (const Split split = split_of(block, x); split.known) {
            put(split.begins_set, split.at - block.begin);
            put(!split.begins_set, block.end - split.at);
            continue;
          }
          sample_column(block, x, bits.data());
          for (std::int64_t i = 0; i < block.end - block.begin; ++i) put(bits[i] != 0, std::int64_t{1});
        }
      }
    }
  }

 private:
  enum class State : std::uint8_t { clear, set, mixed };
  struct Patch {
    double upper_left, upper_right, lower_left, lower_right;
  };
  // Pixels [begin, end) of a row or column; those of mixed ones are all between the same four cells.
  struct Block {
    std::int64_t begin, end;
    State state;
    double rounding;  // of values between its cells, at most
    Patch patch;
  };
  // Where in a mixed block of a column the threshold is passed.
  struct Split {
    bool known = false, begins_set = false;
    std::int64_t at = 0;  // the first pixel that is not as block.begin; block.end: none
  };

  double cell(std::int64_t row, std::int64_t column) const;
  Patch patch(std::int64_t row, std::int64_t column) const;
  void append(const AxisSegment& along, const Patch& patch, std::vector<Block>& blocks) const;
  void blocks_of_columns(const AxisSegment& column, std::vector<Block>& blocks) const;
  void blocks_of_rows(const AxisSegment& row, std::vector<Block>& blocks) const;
  Split split_of(const Block& block, std::int64_t x) const;
  void sample_column(const Block& block, std::int64_t x, std::uint8_t* bits) const;
  void sample_row(const Block& block, std::int64_t y, std::uint8_t* bits) const;

  std::span<const float> mask_;
  std::int64_t side_;
  double threshold_;
  SampledAxis xs_, ys_;
};

}  // namespace d2deploy
