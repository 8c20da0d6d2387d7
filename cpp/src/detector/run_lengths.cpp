// Masks as COCO's run-length codes.
#include <algorithm>

#include "core/check.h"
#include "core/memory.h"
#include "d2deploy/mask.h"
#include "detector/mask_sampler.h"
#include "detector/runs.h"

namespace d2deploy {

namespace {

void check_size(const char* caller, std::int64_t height, std::int64_t width) {
  constexpr std::int64_t kMostPixels = (std::int64_t{1} << 32) - 1;  // COCO's counts have 32 bits
  check(height >= 0 && width >= 0, caller, ": image size must not be negative, got ", height, " x ", width);
  check(height == 0 || width <= kMostPixels / height, caller, ": the image is ", height, " x ", width,
        " pixels large; run-length codes are for less than 2^32 pixels");
}

// Puts runs together.
class Writer {
 public:
  explicit Writer(RunLengths& runs) : counts_(runs.counts) {}
  void put(bool bit, std::int64_t count) {
    if (count == 0) return;
    if (bit != bit_) {
      counts_.push_back(run_);
      run_ = 0;
      bit_ = bit;
    }
    run_ += static_cast<std::uint32_t>(count);
  }
  void finish() { counts_.push_back(run_); }

 private:
  std::vector<std::uint32_t>& counts_;
  std::uint32_t run_ = 0;
  bool bit_ = false;
};

RunLengths encode(const MaskSampler& sampler, std::int64_t height, std::int64_t width) {
  RunLengths runs{height, width, {}};
  Writer writer(runs);
  if (sampler.empty()) {
    writer.put(false, height * width);
  } else {
    const std::int64_t above = sampler.ys().begin, below = height - sampler.ys().end;
    writer.put(false, sampler.xs().begin * height + above);
    sampler.scan_columns([&](bool bit, std::int64_t count) { writer.put(bit, count); },
                         [&] { writer.put(false, below + above); });
    writer.put(false, below + (width - sampler.xs().end) * height);
  }
  writer.finish();
  return runs;
}

}  // namespace

void check_runs(const char* caller, const RunLengths& runs) {
  check_size(caller, runs.height, runs.width);
  std::int64_t sum = 0;  // cannot overflow: there is no memory for 2^31 counts
  for (const std::uint32_t count : runs.counts) sum += count;
  check(sum == runs.height * runs.width, caller, ": counts of ", sum, " pixels, but the image has ", runs.height, " x ",
        runs.width);
}

RunLengths paste_run_lengths(std::span<const float> mask, std::int64_t side, std::span<const float, 4> box,
                             std::int64_t height, std::int64_t width, float threshold) {
  return guarded([&] {
    check_size("paste_run_lengths", height, width);
    return encode(MaskSampler("paste_run_lengths", mask, side, box, height, width, threshold), height, width);
  });
}

RunLengths run_lengths(std::span<const std::uint8_t> bitmap, std::int64_t height, std::int64_t width) {
  return guarded([&] {
    check_size("run_lengths", height, width);
    check(static_cast<std::int64_t>(bitmap.size()) == height * width, "run_lengths: a bitmap of ", height, " x ", width,
          " needs height * width bytes, got ", bitmap.size());
    RunLengths runs{height, width, {}};
    Writer writer(runs);
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t y = 0; y < height; ++y) writer.put(bitmap[y * width + x] != 0, 1);
    writer.finish();
    return runs;
  });
}

std::vector<std::uint8_t> to_bitmap(const RunLengths& runs) {
  return guarded([&] {
    check_runs("to_bitmap", runs);
    check_available(static_cast<std::size_t>(runs.height * runs.width));
    std::vector<std::uint8_t> bitmap(runs.height * runs.width, 0);
    for_each_run(runs, [&](const Run& run) {
      for (std::int64_t y = run.begin; y < run.end; ++y) bitmap[y * runs.width + run.x] = 1;
    });
    return bitmap;
  });
}

std::int64_t area(const RunLengths& runs) {
  return guarded([&] {
    check_runs("area", runs);
    std::int64_t sum = 0;
    for (std::size_t i = 1; i < runs.counts.size(); i += 2) sum += runs.counts[i];
    return sum;
  });
}

std::array<std::int64_t, 4> bounding_box(const RunLengths& runs) {
  return guarded([&]() -> std::array<std::int64_t, 4> {
    check_runs("bounding_box", runs);
    std::int64_t left = -1, right = 0, top = runs.height, bottom = 0;
    for_each_run(runs, [&](const Run& run) {
      if (left < 0) left = run.x;
      right = run.x + 1;
      top = std::min(top, run.begin);
      bottom = std::max(bottom, run.end);
    });
    if (left < 0) return {0, 0, 0, 0};
    return {left, top, right - left, bottom - top};
  });
}

std::string to_coco_string(const RunLengths& runs) {
  return guarded([&] {
    check_runs("to_coco_string", runs);
    std::string text;
    for (std::size_t i = 0; i < runs.counts.size(); ++i) {
      // Five bits a character, the lowest first, as two's complement; bit 5 tells that more follow. From the fourth
      // on a count is the difference to the last one of the same colour.
      std::int64_t left = runs.counts[i];
      if (i > 2) left -= runs.counts[i - 2];
      for (bool more = true; more;) {
        const std::int64_t bits = left & 31;
        left >>= 5;
        more = left != ((bits & 16) != 0 ? -1 : 0);
        text += static_cast<char>('0' + bits + (more ? 32 : 0));
      }
    }
    return text;
  });
}

}  // namespace d2deploy
