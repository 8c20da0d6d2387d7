#include "detector/panoptic.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "core/check.h"
#include "detector/mask_sampler.h"

namespace d2deploy {

namespace {

constexpr float kMaskThreshold = 0.5F;

// Things claim pixels of the map, one after the other.
class Things {
 public:
  Things(Panoptic& out, const Size& wanted) : out_(out), wanted_(wanted) {}

  // Returns how many pixels the thing gets; -1 where it has none, or too many of them are taken.
  std::int64_t claim(std::span<const float> mask, std::int64_t side, std::span<const float, 4> box, std::int32_t id,
                     double overlap_threshold) {
    const MaskSampler sampler("panoptic", mask, side, box, wanted_.height, wanted_.width, kMaskThreshold);
    if (sampler.empty()) return -1;
    const std::int64_t left = sampler.xs().begin, top = sampler.ys().begin;
    const std::int64_t width = sampler.xs().end - left, height = sampler.ys().end - top;
    pixels_.resize(static_cast<std::size_t>(width * height));
    sampler.paste(pixels_.data(), width);

    std::int64_t area = 0, free = 0;
    for (std::int64_t y = 0; y < height; ++y) {
      const std::uint8_t* pixel = pixels_.data() + y * width;
      const std::int32_t* owner = out_.map.data() + (top + y) * wanted_.width + left;
      std::int32_t row_area = 0, row_free = 0;
      for (std::int64_t x = 0; x < width; ++x) {
        row_area += pixel[x];
        row_free += owner[x] == 0 ? pixel[x] : 0;
      }
      area += row_area;
      free += row_free;
    }
    if (area == 0 || static_cast<double>(area - free) / static_cast<double>(area) > overlap_threshold) return -1;
    for (std::int64_t y = 0; y < height; ++y) {
      const std::uint8_t* pixel = pixels_.data() + y * width;
      std::int32_t* owner = out_.map.data() + (top + y) * wanted_.width + left;
      for (std::int64_t x = 0; x < width; ++x) owner[x] = pixel[x] != 0 && owner[x] == 0 ? id : owner[x];
    }
    return free;
  }

 private:
  Panoptic& out_;
  Size wanted_;
  std::vector<std::uint8_t> pixels_;  // of the box
};

void add_things(const Detections& found, const Tensor& masks, const Size& wanted, const PanopticRule& rule,
                Panoptic& out) {
  std::vector<std::int64_t> order(found.count());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](std::int64_t a, std::int64_t b) { return found.scores[a] > found.scores[b]; });
  const std::int64_t side = masks.dim(1);
  Things things(out, wanted);
  for (const std::int64_t i : order) {
    if (static_cast<double>(found.scores[i]) < rule.score_threshold) break;
    const auto id = static_cast<std::int32_t>(out.segments.size()) + 1;
    const auto mask =
        masks.values<float>().subspan(static_cast<std::size_t>(i * side * side), static_cast<std::size_t>(side * side));
    const std::int64_t area = things.claim(mask, side, found.box(i).first<4>(), id, rule.overlap_threshold);
    if (area >= 0) out.segments.push_back({id, true, found.scores[i], found.classes[i], i, area});
  }
}

void add_stuff(std::span<const std::int32_t> classes, const PanopticRule& rule, Panoptic& out) {
  // Neighbours are mostly of one class: one look-up for a run of them.
  const auto for_each_run = [&](const auto& use) {
    for (std::size_t i = 0; i < classes.size();) {
      const std::size_t begin = i;
      std::int64_t free = 0;
      for (; i < classes.size() && classes[i] == classes[begin]; ++i) free += out.map[i] == 0 ? 1 : 0;
      if (classes[begin] != 0) use(classes[begin], begin, i, free);
    }
  };
  std::map<std::int32_t, std::int64_t> areas;
  for_each_run([&](std::int32_t label, std::size_t, std::size_t, std::int64_t free) { areas[label] += free; });
  std::map<std::int32_t, std::int32_t> ids;
  for (const auto& [label, area] : areas) {
    if (area < rule.stuff_area) continue;
    const auto id = static_cast<std::int32_t>(out.segments.size()) + 1;
    out.segments.push_back({id, false, 0, label, -1, area});
    ids[label] = id;
  }
  for_each_run([&](std::int32_t label, std::size_t begin, std::size_t end, std::int64_t) {
    const auto id = ids.find(label);
    if (id == ids.end()) return;
    for (std::size_t i = begin; i < end; ++i)
      if (out.map[i] == 0) out.map[i] = id->second;
  });
}

}  // namespace

Panoptic combine_panoptic(const Detections& found, const Tensor& masks, std::span<const std::int32_t> classes,
                          const Size& wanted, const PanopticRule& rule) {
  check<InternalError>(static_cast<std::int64_t>(classes.size()) == wanted.height * wanted.width, "classes of ",
                       classes.size(), " pixels for a picture of ", wanted.height, " x ", wanted.width);
  Panoptic out;
  out.map.assign(classes.size(), 0);
  if (found.count() > 0) {
    check_output("masks", masks, 3, found.count());
    check<InvalidModel>(masks.dim(1) == masks.dim(2) && found.columns == 4,
                        "panoptic nets need square masks and upright boxes, got masks ", masks.shape(), " and ",
                        found.columns, " numbers for a box");
    add_things(found, masks, wanted, rule, out);
  }
  add_stuff(classes, rule, out);
  return out;
}

}  // namespace d2deploy
