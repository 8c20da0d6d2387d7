// Reading and writing picture files, with errors that name the file.
#pragma once
#include <filesystem>
#include <opencv2/core.hpp>
#include <vector>

namespace d2deploy::cli {

/// 8-bit BGR images, upright, all of one size. Of several pages the first. Of 16 bits the low byte goes; alpha goes,
/// and what it hid shows; integers of other sizes and floats are refused, for their white is not told. The same rule as
/// `d2deploy.images.read_image` has in Python: a test compares them. Throws InvalidArgument, with the path.
std::vector<cv::Mat> read_images(const std::vector<std::filesystem::path>& paths);

/// Throws InvalidArgument where the extension names no picture format that can be written.
void check_writable(const std::filesystem::path& path);
/// Throws InvalidArgument, with the path, where that fails.
void write_image(const std::filesystem::path& path, const cv::Mat& image);

}  // namespace d2deploy::cli
