// Pictures of detections: the masks as files, and everything drawn on the photo.
#pragma once
#include <filesystem>
#include <opencv2/core.hpp>
#include <vector>

#include "cli/detections.h"

namespace d2deploy::cli {

/// Writes the mask of each detection with a score of at least `threshold`, values 0 to 255, in the size the net gives:
/// mask<i>.png in `folder`, or mask<image>_<i>.png with several images.
void write_masks(const Detections& found, const std::filesystem::path& folder, float threshold);

/// Draws boxes, "class: score" (its name where that is known) and pasted masks of the detections of one image with a
/// score of at least `threshold`.
cv::Mat draw(const cv::Mat& photo, const Detections& found, std::size_t image, float threshold);

/// `file`, with "_<image>" before the extension where there are several images.
std::filesystem::path numbered(const std::filesystem::path& file, std::size_t image, std::size_t images);

}  // namespace d2deploy::cli
