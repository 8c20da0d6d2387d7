#include "detector/semantic.h"

#include <algorithm>
#include <array>

#include "core/arithmetic.h"
#include "core/check.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

// u = max((pixel + 0.5) * cells / pixels - 0.5, 0), between the cells floor(u) and floor(u) + 1, the last one standing
// for those beyond it. In float32, as in PyTorch: far from 0 a float64 u is another.
struct Axis {
  std::vector<std::int64_t> low, high;
  std::vector<float> low_weight, high_weight;
  bool same;  // pixels are cells

  Axis(std::int64_t cells, std::int64_t pixels) : same(cells == pixels) {
    const float step = static_cast<float>(cells) / static_cast<float>(pixels);
    for (std::int64_t p = 0; p < pixels; ++p) {
      const float u = std::max(step * (static_cast<float>(p) + 0.5F) - 0.5F, 0.0F);
      low.push_back(std::min(static_cast<std::int64_t>(u), cells - 1));
      high.push_back(std::min(low.back() + 1, cells - 1));
      high_weight.push_back(std::min(u - static_cast<float>(low.back()), 1.0F));
      low_weight.push_back(1 - high_weight.back());
    }
  }
};

// Rows of one channel at the wanted width; the last two are remembered, since rows of the picture share them.
class Widened {
 public:
  Widened(const Axis& xs, std::int64_t width) : xs_(xs), memory_(xs.same ? 0 : 2 * width), width_(width) {}

  void begin(const float* channel, std::int64_t stride) {
    channel_ = channel;
    stride_ = stride;
    held_ = {-1, -1};
  }
  // Valid until another row than this one and the one before is asked for.
  const float* row(std::int64_t y) {
    const float* from = channel_ + y * stride_;
    if (xs_.same) return from;
    const std::size_t slot = static_cast<std::size_t>(y % 2);
    float* to = memory_.data() + static_cast<std::int64_t>(slot) * width_;
    if (held_[slot] == y) return to;
    held_[slot] = y;
    const std::int64_t *low = xs_.low.data(), *high = xs_.high.data();
    const float *low_weight = xs_.low_weight.data(), *high_weight = xs_.high_weight.data();
    for (std::int64_t x = 0; x < width_; ++x) to[x] = from[low[x]] * low_weight[x] + from[high[x]] * high_weight[x];
    return to;
  }

 private:
  const Axis& xs_;
  std::vector<float> memory_;
  std::int64_t width_, stride_ = 0;
  const float* channel_ = nullptr;
  std::array<std::int64_t, 2> held_{-1, -1};
};

struct Map {
  const float* data;
  std::int64_t channels, height, width;  // as it stands in memory
};

Map map_of(const Tensor& logits, std::int64_t image, const Size& size) {
  check_output("sem_seg", logits, 4, image + 1);
  const Map map{nullptr, logits.dim(1), logits.dim(2), logits.dim(3)};
  check<InvalidModel>(
      map.channels > 0 && size.height > 0 && size.width > 0 && size.height <= map.height && size.width <= map.width,
      "output 'sem_seg' ", logits.shape(), " is smaller than the net's input of ", size.height, " x ", size.width,
      " pixels");
  return {logits.data<float>() + image * map.channels * map.height * map.width, map.channels, map.height, map.width};
}

// Calls use(channel, y, row) for every channel of every row of the picture, channels in order; row is valid during the
// call. A part of the rows is one thread's.
template <class Use>
void resize(const Map& map, const Size& size, const Size& wanted, const Use& use) {
  const Axis xs(size.width, wanted.width), ys(size.height, wanted.height);
  constexpr std::int64_t kRows = 16;  // of all channels, before the next ones: the result stays in the cache
  parallel_for((wanted.height + kRows - 1) / kRows, 1, [&](std::int64_t begin, std::int64_t end) {
    Widened rows(xs, wanted.width);
    std::vector<float> between(ys.same ? 0 : wanted.width);
    for (std::int64_t block = begin; block < end; ++block)
      for (std::int64_t c = 0; c < map.channels; ++c) {
        rows.begin(map.data + c * map.height * map.width, map.width);
        for (std::int64_t y = block * kRows; y < std::min((block + 1) * kRows, wanted.height); ++y) {
          const float* upper = rows.row(ys.low[y]);
          if (ys.same) {
            use(c, y, upper);
            continue;
          }
          const float* lower = rows.row(ys.high[y]);
          const float upper_weight = ys.low_weight[y], lower_weight = ys.high_weight[y];
          for (std::int64_t x = 0; x < wanted.width; ++x)
            between[x] = upper[x] * upper_weight + lower[x] * lower_weight;
          use(c, y, static_cast<const float*>(between.data()));
        }
      }
  });
}

void check_wanted(const Size& wanted) {
  check<InvalidArgument>(wanted.height > 0 && wanted.width > 0, "the wanted size must not be empty, got ",
                         wanted.height, " x ", wanted.width);
}

Tensor allocate_resized(const Map& map, const Size& wanted) {
  return Tensor::allocate({DType::float32, {map.channels, wanted.height, wanted.width}, Layout::row_major});
}

}  // namespace

Tensor resize_logits(const Tensor& logits, std::int64_t image, const Size& size, const Size& wanted) {
  const Map map = map_of(logits, image, size);
  check_wanted(wanted);
  Tensor out = allocate_resized(map, wanted);
  float* data = out.data<float>();
  resize(map, size, wanted, [&](std::int64_t c, std::int64_t y, const float* row) {
    std::copy_n(row, wanted.width, data + (c * wanted.height + y) * wanted.width);
  });
  return out;
}

std::vector<std::int32_t> classes_of_pixels(const Tensor& logits, std::int64_t image, const Size& size,
                                            const Size& wanted, Tensor* resized) {
  const Map map = map_of(logits, image, size);
  check_wanted(wanted);
  const std::int64_t area = checked_product(wanted.height, wanted.width);
  std::vector<std::int32_t> classes(area, 0);
  std::vector<float> highest(area);
  if (resized != nullptr) *resized = allocate_resized(map, wanted);
  float* kept = resized != nullptr ? resized->data<float>() : nullptr;
  resize(map, size, wanted, [&](std::int64_t c, std::int64_t y, const float* row) {
    if (kept != nullptr) std::copy_n(row, wanted.width, kept + (c * wanted.height + y) * wanted.width);
    std::int32_t* label = classes.data() + y * wanted.width;
    float* high = highest.data() + y * wanted.width;
    if (c == 0) {
      std::copy_n(row, wanted.width, high);
      return;
    }
    for (std::int64_t x = 0; x < wanted.width; ++x) {
      const bool higher = row[x] > high[x];
      high[x] = higher ? row[x] : high[x];
      label[x] = higher ? static_cast<std::int32_t>(c) : label[x];
    }
  });
  return classes;
}

}  // namespace d2deploy
