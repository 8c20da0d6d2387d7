#include "detector/resize.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "core/check.h"
#include "core/memory.h"
#include "core/threads.h"
#include "kernels/resample.h"
#include "kernels/scratch.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kMostSide = 1 << 24;  // the largest of pictures have a hundredth of it
constexpr std::int64_t kTile = 64;           // columns at a time: what they are made of stays in the nearest cache

// Where the pixels of one axis of the result come from. With s = size / result_size, but at least 1, pixel i of the
// result is the mean of those around c = (i + 0.5) * size / result_size, weighted by
//   max(0, 1 - |x + 0.5 - c| / s)
// These are divided by their sum and rounded to whole numbers of 2^-22: all as Pillow does it, where each rounding
// counts.
class Axis {
 public:
  Axis(std::int64_t size, std::int64_t result_size) {
    const double step = static_cast<double>(size) / static_cast<double>(result_size);
    const double reach = std::max(step, 1.0);
    // As many pairs as there can be.
    const std::int64_t most = result_size * (static_cast<std::int64_t>(std::ceil(reach)) + 1);
    check_available(static_cast<std::size_t>(most) * sizeof(WeightPair));
    pairs_.reserve(static_cast<std::size_t>(most));
    supports_.reserve(static_cast<std::size_t>(result_size));
    std::vector<double> weights;
    for (std::int64_t i = 0; i < result_size; ++i) {
      const double centre = (static_cast<double>(i) + 0.5) * step;
      const std::int64_t begin = std::max<std::int64_t>(static_cast<std::int64_t>(centre - reach + 0.5), 0);
      const std::int64_t end = std::min(static_cast<std::int64_t>(centre + reach + 0.5), size);
      weights.clear();
      double sum = 0;
      for (std::int64_t x = begin; x < end; ++x) {
        const double distance = std::abs((static_cast<double>(x) - centre + 0.5) * (1.0 / reach));
        weights.push_back(distance < 1.0 ? 1.0 - distance : 0.0);
        sum += weights.back();
      }
      for (double& w : weights) w = std::floor(0.5 + (sum != 0.0 ? w / sum : w) * (1 << kWeightBits));
      add(begin, weights);
    }
  }

  const Support& operator[](std::int64_t i) const { return supports_[i]; }
  std::int64_t size() const { return static_cast<std::int64_t>(supports_.size()); }
  std::int64_t most_taps() const { return most_taps_; }

 private:
  void add(std::int64_t first, std::span<const double> weights) {
    while (weights.size() > 1 && weights.back() == 0.0) weights = weights.first(weights.size() - 1);
    supports_.push_back({first, static_cast<std::int64_t>(weights.size()), pairs_.data() + pairs_.size()});
    most_taps_ = std::max(most_taps_, supports_.back().taps);
    for (std::size_t j = 0; j < weights.size(); ++j) {
      if (j % 2 == 0) pairs_.push_back({});
      const auto weight = static_cast<int>(weights[j]);
      pairs_.back().high[j % 2] = static_cast<std::int16_t>(weight >> kLowWeightBits);
      pairs_.back().low[j % 2] = static_cast<std::int16_t>(weight % (1 << kLowWeightBits));
    }
  }

  std::vector<Support> supports_;
  std::vector<WeightPair> pairs_;  // never grown beyond what was reserved: supports point into it
  std::int64_t most_taps_ = 0;
};

// Columns [begin, begin + count) of the result and the pixels [first, end) of a row that they come from.
struct Tile {
  std::int64_t begin, count, first, end;
};

std::vector<Tile> tiles_of(const Axis& axis) {
  std::vector<Tile> tiles;
  for (std::int64_t begin = 0; begin < axis.size(); begin += kTile) {
    Tile tile{begin, std::min(kTile, axis.size() - begin), axis[begin].first, 0};
    for (std::int64_t x = begin; x < begin + tile.count; ++x) {
      tile.first = std::min(tile.first, axis[x].first);
      tile.end = std::max(tile.end, axis[x].first + axis[x].taps);
    }
    tiles.push_back(tile);
  }
  return tiles;
}

// Which pass is the first one decides how values are rounded in between. As Pillow has it since version 13; those
// before always went along rows first.
bool down_columns_first(const ImageView& image, Size size) {
  return size.height < image.height && image.height - size.height > 2 * (image.width - size.width);
}

// All that parts of one resize share.
struct Job {
  Job(const ImageView& pixels, Size size, bool is_planar)
      : image(pixels),
        loops(all_resample_loops().loops[0]),
        columns(pixels.width, size.width),
        rows(pixels.height, size.height),
        tiles(tiles_of(columns)),
        planar(is_planar),
        same_width(size.width == pixels.width),
        columns_first(resizes_columns_first(pixels, size)),
        plane_bytes(planar ? size.width + kResampleSlack : 0),
        bytes(planar ? plane_bytes * pixels.channels : size.width * pixels.channels),
        row_bytes(static_cast<std::int64_t>(align_up(static_cast<std::size_t>(bytes + kResampleSlack)))) {
    std::int64_t pixels_of_tile = 0;
    for (const Tile& tile : tiles) pixels_of_tile = std::max(pixels_of_tile, tile.end - tile.first);
    turned_bytes = loops.turned_bytes(kTile, pixels_of_tile, pixels.channels);
  }

  // Rows of the result that are worth a part of their own: what neighbours share is computed by each.
  std::int64_t grain() const {
    constexpr std::int64_t kLeast = 8;
    return std::max(kLeast, (loops.rows * rows.size() + image.height - 1) / image.height);
  }

  // Resamples loops.rows rows along themselves.
  void along_rows(const std::uint8_t* const* from, std::uint8_t* turned, std::uint8_t* out) const {
    const std::int64_t step = planar ? 1 : image.channels;
    for (const Tile& tile : tiles)
      loops.columns({from, image.width * image.channels, image.channels, &columns[tile.begin], tile.count, tile.first,
                     tile.end, turned, out + tile.begin * step, row_bytes, plane_bytes});
  }

  ImageView image;
  ResampleLoops loops;
  Axis columns, rows;
  std::vector<Tile> tiles;
  bool planar;  // whether rows lie in memory one channel after the other while they are worked on
  bool same_width;
  bool columns_first;
  std::int64_t plane_bytes, bytes, row_bytes;  // of a plane of a row, a row, from a row to the next one
  std::int64_t turned_bytes = 0;
};

// Rows of the result, from the first to the last one that a part wants.
class Rows {
 public:
  Rows(const Job& job, std::int64_t end) : job_(job), end_(end) {
    const std::int64_t taps = job.rows.most_taps();
    // Along rows first: twice what a row of the result needs, so that rows seldom have to be moved.
    capacity_ =
        job.columns_first ? job.loops.rows : std::min(2 * taps + job.loops.rows, job.image.height) + job.loops.rows;
    Scratch count;
    lay_out(count);
    memory_ = allocate(count.bytes());
    Scratch scratch(memory_.get());
    lay_out(scratch);
  }

  /// Row y of the result. No y may be less than in the call before.
  const std::uint8_t* row(std::int64_t y) { return job_.columns_first ? columns_first(y) : rows_first(y); }

 private:
  void lay_out(Scratch& scratch) {
    rows_ = scratch.take<std::uint8_t>(checked_product(capacity_, job_.row_bytes));
    const std::int64_t row = checked_product(job_.image.width, job_.image.channels);
    from_rows_ = scratch.take<std::uint8_t>(job_.columns_first ? checked_product(job_.loops.rows, row) : job_.bytes);
    turned_ = scratch.take<std::uint8_t>(job_.turned_bytes);
    pointers_ = scratch.take<const std::uint8_t*>(job_.loops.rows);
  }

  const std::uint8_t* columns_first(std::int64_t y) {
    const ImageView& image = job_.image;
    const std::int64_t bytes = image.width * image.channels;
    const auto down = [&](std::int64_t i, std::uint8_t* out) {
      const Support& support = job_.rows[i];
      job_.loops.row(image.data + support.first * image.row_bytes, image.row_bytes, support, bytes, out);
      return out;
    };
    if (job_.same_width && !job_.planar) return down(y, from_rows_);
    if (y >= made_) {
      first_ = y;
      made_ = std::min(y + job_.loops.rows, end_);
      for (std::int64_t r = 0; r < job_.loops.rows; ++r)  // where there are too few, the last one again
        pointers_[r] = y + r < made_ ? down(y + r, from_rows_ + r * bytes) : pointers_[r - 1];
      job_.along_rows(pointers_, turned_, rows_);
    }
    return rows_ + (y - first_) * job_.row_bytes;
  }

  const std::uint8_t* rows_first(std::int64_t y) {
    const Support& support = job_.rows[y];
    if (support.first >= made_) first_ = made_ = support.first;
    while (made_ < support.first + support.taps) {
      if (made_ - first_ + job_.loops.rows > capacity_) {
        std::copy(place(support.first), place(made_), rows_);
        first_ = support.first;
      }
      const ImageView& image = job_.image;
      for (std::int64_t r = 0; r < job_.loops.rows; ++r)
        pointers_[r] = image.data + std::min(made_ + r, image.height - 1) * image.row_bytes;
      job_.along_rows(pointers_, turned_, place(made_));
      made_ = std::min(made_ + job_.loops.rows, image.height);
    }
    job_.loops.row(place(support.first), job_.row_bytes, support, job_.bytes, from_rows_);
    return from_rows_;
  }

  std::uint8_t* place(std::int64_t row) const { return rows_ + (row - first_) * job_.row_bytes; }

  const Job& job_;
  std::int64_t end_, capacity_;
  std::int64_t first_ = 0, made_ = 0;  // rows that were resampled along themselves and are still there
  std::shared_ptr<void> memory_;
  std::uint8_t *rows_ = nullptr, *from_rows_ = nullptr, *turned_ = nullptr;
  const std::uint8_t** pointers_ = nullptr;
};

void check_sizes(const ImageView& image, Size size) {
  check(image.data != nullptr && image.height > 0 && image.width > 0 && image.channels > 0,
        "resize: the image is empty: ", image.height, " x ", image.width, " pixels of ", image.channels, " channels");
  check(size.height > 0 && size.width > 0, "resize: the result would have ", size.height, " x ", size.width,
        " pixels, wanted at least one");
  for (const auto side : {image.height, image.width, size.height, size.width})
    check(side <= kMostSide, "resize: from ", image.height, " x ", image.width, " to ", size.height, " x ", size.width,
          " pixels; a side may be at most ", kMostSide);
  check(image.channels <= kMostSide, "resize: the image has ", image.channels, " channels, wanted at most ", kMostSide);
  check(image.row_bytes / image.channels >= image.width, "resize: row_bytes of the image is ", image.row_bytes,
        ", wanted at least ", image.channels, " * ", image.width);
  checked_product(image.height, image.row_bytes);
}

void resize_rows(const ImageView& image, Size size, std::uint8_t* out, std::int64_t out_row_bytes) {
  const Job job(image, size, false);
  parallel_for(size.height, job.grain(), [&](std::int64_t begin, std::int64_t end) {
    Rows rows(job, end);
    for (std::int64_t y = begin; y < end; ++y) std::copy_n(rows.row(y), job.bytes, out + y * out_row_bytes);
  });
}

}  // namespace

Size shortest_edge(std::int64_t height, std::int64_t width, std::int64_t min_size, std::int64_t max_size) {
  check(height > 0 && width > 0 && height <= kMostSide && width <= kMostSide, "shortest_edge: the image is ", height,
        " x ", width, " pixels large, wanted 1 to ", kMostSide, " on a side");
  check(min_size >= 0 && min_size <= kMostSide && max_size > 0 && max_size <= kMostSide, "shortest_edge: min_size is ",
        min_size, ", max_size ", max_size, ", wanted at most ", kMostSide, " and at least 0 and 1");
  if (min_size == 0) return {height, width};
  // In this order, as Detectron2 computes: the result is rounded, so every factor's rounding counts.
  const double ratio = static_cast<double>(min_size) / static_cast<double>(std::min(height, width));
  double new_height = static_cast<double>(min_size), new_width = static_cast<double>(min_size);
  if (height < width)
    new_width = ratio * static_cast<double>(width);
  else
    new_height = ratio * static_cast<double>(height);
  if (const double longer = std::max(new_height, new_width); longer > static_cast<double>(max_size)) {
    const double shrink = static_cast<double>(max_size) / longer;
    new_height *= shrink;
    new_width *= shrink;
  }
  const Size size{static_cast<std::int64_t>(new_height + 0.5), static_cast<std::int64_t>(new_width + 0.5)};
  check(size.height > 0 && size.width > 0, "shortest_edge: an image of ", height, " x ", width,
        " pixels is so long that a side would have none; crop it");
  return size;
}

ResizeAxis resize_axis(std::int64_t size, std::int64_t result_size) {
  const Axis axis(size, result_size);
  ResizeAxis table;
  table.stride = axis.most_taps();
  for (std::int64_t i = 0; i < axis.size(); ++i) {
    const Support& support = axis[i];
    table.first.push_back(static_cast<std::int32_t>(support.first));
    table.taps.push_back(static_cast<std::int32_t>(support.taps));
    for (std::int64_t t = 0; t < table.stride; ++t) {
      const WeightPair pair = t < support.taps ? support.pairs[t / 2] : WeightPair{};
      table.weights.push_back((pair.high[t % 2] << kLowWeightBits) + pair.low[t % 2]);
    }
  }
  return table;
}

bool resizes_columns_first(const ImageView& image, Size size) {
  return size.width == image.width || down_columns_first(image, size);
}

void check_resize(const ImageView& image, Size size) {
  check_sizes(image, size);
  check_available(static_cast<std::size_t>(checked_product(checked_product(size.height, size.width), image.channels)));
}

void resize(const ImageView& image, Size size, std::uint8_t* out, std::int64_t out_row_bytes, int threads) {
  check_sizes(image, size);
  check(out != nullptr && out_row_bytes / image.channels >= size.width, "resize: out_row_bytes is ", out_row_bytes,
        ", wanted at least ", image.channels, " * ", size.width);
  checked_product(size.height, out_row_bytes);
  guarded([&] {
    const ThreadScope scope(threads_for(threads));
    resize_rows(image, size, out, out_row_bytes);
  });
}

void resize_into_planes(const ImageView& image, Size size, std::span<const PlaneSource> planes, Size padded,
                        float* out) {
  check_sizes(image, size);
  check(size.height <= padded.height && size.width <= padded.width, "resize: ", size.height, " x ", size.width,
        " pixels do not fit into planes of ", padded.height, " x ", padded.width);
  for (const PlaneSource& plane : planes)
    check(plane.channel >= 0 && plane.channel < image.channels, "resize: a plane of channel ", plane.channel,
          ", wanted one of the image's ", image.channels);
  checked_product(checked_product(padded.height, padded.width), static_cast<std::int64_t>(planes.size() * sizeof *out));

  const Job job(image, size, true);
  parallel_for(padded.height, job.grain(), [&](std::int64_t begin, std::int64_t end) {
    Rows rows(job, std::min(end, size.height));
    for (std::int64_t y = begin; y < end; ++y) {
      const std::uint8_t* row = y < size.height ? rows.row(y) : nullptr;
      float* to = out + y * padded.width;
      for (const PlaneSource& plane : planes) {
        if (row != nullptr) job.loops.widen(row + plane.channel * job.plane_bytes, size.width, to);
        std::fill(to + (row != nullptr ? size.width : 0), to + padded.width, plane.padding);
        to += padded.height * padded.width;
      }
    }
  });
}

}  // namespace d2deploy
