#include "cli/visualize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>

#include "cli/images.h"
#include "core/check.h"
#include "core/text.h"
#include "d2deploy/mask.h"

namespace d2deploy::cli {

namespace {

using Corners = std::array<cv::Point2f, 4>;

// Steps of the golden angle keep the colors of neighbouring classes apart.
cv::Scalar color_of(std::int64_t label) {
  const auto hue = static_cast<std::uint8_t>(label * 111 % 180);  // OpenCV's hue goes from 0 to 179
  cv::Mat pixel(1, 1, CV_8UC3, cv::Scalar(hue, 220, 255));
  cv::cvtColor(pixel, pixel, cv::COLOR_HSV2BGR);
  const auto bgr = pixel.at<cv::Vec3b>(0, 0);
  return {static_cast<double>(bgr[0]), static_cast<double>(bgr[1]), static_cast<double>(bgr[2])};
}

// A rotated box turns counter-clockwise, in an image whose y axis points down.
Corners corners_of(std::span<const float> box) {
  if (box.size() == 4) return {cv::Point2f{box[0], box[1]}, {box[2], box[1]}, {box[2], box[3]}, {box[0], box[3]}};
  const float radians = box[4] * std::numbers::pi_v<float> / 180;
  const cv::Point2f center{box[0], box[1]}, along{std::cos(radians) * box[2] / 2, -std::sin(radians) * box[2] / 2},
      across{std::sin(radians) * box[3] / 2, std::cos(radians) * box[3] / 2};
  return {center - along - across, center + along - across, center + along + across, center - along + across};
}

// Corners far outside are pulled near, so that integers of the drawing library cannot overflow.
cv::Point pixel_of(cv::Point2f corner, const cv::Mat& picture) {
  const auto near = [](float v, int size) {
    return static_cast<int>(std::lround(std::clamp(v, -static_cast<float>(size), 2 * static_cast<float>(size))));
  };
  return {near(corner.x, picture.cols), near(corner.y, picture.rows)};
}

void draw_mask(cv::Mat& picture, const cv::Mat& mask, std::span<const float> box, const cv::Scalar& color) {
  check<Unsupported>(mask.rows == mask.cols && box.size() == 4,
                     "--visualize pastes square masks of upright boxes, got ", mask.rows, " x ", mask.cols);
  const auto pasted =
      paste_mask({mask.ptr<float>(), mask.total()}, mask.rows, box.first<4>(), picture.rows, picture.cols);
  const cv::Vec3b tint(static_cast<uchar>(color[0]), static_cast<uchar>(color[1]), static_cast<uchar>(color[2]));
  for (int y = 0; y < picture.rows; ++y)
    for (int x = 0; x < picture.cols; ++x)
      if (pasted[static_cast<std::size_t>(y) * picture.cols + x]) {
        auto& pixel = picture.at<cv::Vec3b>(y, x);
        for (int c = 0; c < 3; ++c) pixel[c] = static_cast<uchar>((pixel[c] + tint[c]) / 2);
      }
}

void draw_text(cv::Mat& picture, const std::string& text, cv::Point corner, const cv::Scalar& color) {
  constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX, kMargin = 2;
  const double scale = std::clamp(std::min(picture.rows, picture.cols) / 1200.0, 0.35, 1.0);
  int baseline = 0;
  const cv::Size size = cv::getTextSize(text, kFont, scale, 1, &baseline);
  // On top of the box where there is room, else inside of it; never outside of the picture.
  const int x = std::clamp(corner.x, 0, std::max(0, picture.cols - size.width - 2 * kMargin));
  const int y = std::clamp(corner.y, size.height + 2 * kMargin, std::max(size.height + 2 * kMargin, picture.rows));
  cv::rectangle(picture, {x, y - size.height - 2 * kMargin}, {x + size.width + 2 * kMargin, y}, color, cv::FILLED);
  cv::putText(picture, text, {x + kMargin, y - kMargin}, kFont, scale, {0, 0, 0}, 1, cv::LINE_AA);
}

}  // namespace

void write_masks(const Detections& found, const std::filesystem::path& folder, float threshold) {
  if (!found.masks) return;
  const std::size_t images = found.first.size() - 1;
  for (std::size_t i = 0; i < images; ++i)
    for (std::int64_t row = found.first[i]; row < found.first[i + 1]; ++row) {
      if (!(found.score(row) >= threshold)) continue;
      const std::string prefix = images > 1 ? join(i, '_') : "";
      cv::Mat bytes;
      found.mask(row).convertTo(bytes, CV_8U, 255);
      write_image(folder / join("mask", prefix, row - found.first[i], ".png"), bytes);
    }
}

cv::Mat draw(const cv::Mat& photo, const Detections& found, std::size_t image, float threshold) {
  cv::Mat picture = photo.clone();
  const auto each = [&](const auto& body) {
    for (std::int64_t row = found.first[image]; row < found.first[image + 1]; ++row) {
      const auto box = found.box(row);
      const bool finite = std::ranges::all_of(box, [](float v) { return std::isfinite(v); });
      if (finite && found.score(row) >= threshold) body(row, box, color_of(found.labels[row]));
    }
  };
  if (found.masks)
    each([&](std::int64_t row, auto box, const auto& color) { draw_mask(picture, found.mask(row), box, color); });
  each([&](std::int64_t row, auto box, const auto& color) {
    const Corners corners = corners_of(box);
    for (std::size_t k = 0; k < 4; ++k)
      cv::line(picture, pixel_of(corners[k], picture), pixel_of(corners[(k + 1) % 4], picture), color, 1, cv::LINE_AA);
    const std::string name = found.name(row);
    const std::string label = name.empty() ? join(found.labels[row]) : name;
    draw_text(picture, join(label, ": ", fixed(found.score(row), 2)), pixel_of(corners[0], picture), color);
  });
  return picture;
}

std::filesystem::path numbered(const std::filesystem::path& file, std::size_t image, std::size_t images) {
  if (images < 2) return file;
  return file.parent_path() / join(file.stem().string(), '_', image, file.extension().string());
}

}  // namespace d2deploy::cli
