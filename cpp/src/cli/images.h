// Reading and writing picture files, with errors that name the file.
#pragma once
#include <filesystem>
#include <opencv2/core.hpp>
#include <vector>

namespace d2deploy::cli {

/// 8-bit BGR images, all of one size. Throws InvalidArgument, with the path.
std::vector<cv::Mat> read_images(const std::vector<std::filesystem::path>& paths);

/// Throws InvalidArgument where the extension names no picture format that can be written.
void check_writable(const std::filesystem::path& path);
/// Throws InvalidArgument, with the path, where that fails.
void write_image(const std::filesystem::path& path, const cv::Mat& image);

}  // namespace d2deploy::cli
