#include "cli/images.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <system_error>

#include "core/check.h"
#include "core/text.h"

namespace d2deploy::cli {

namespace {

// Catches what is written to stderr for as long as it lives: libpng and libjpeg have no other way to complain, and our
// errors say it better.
class CaughtStderr {
 public:
  CaughtStderr() : caught_(std::tmpfile()), saved_(dup(STDERR_FILENO)) {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    if (caught_ && saved_ >= 0) dup2(fileno(caught_), STDERR_FILENO);
  }
  ~CaughtStderr() {
    if (caught_ && saved_ >= 0) dup2(saved_, STDERR_FILENO);
    if (saved_ >= 0) close(saved_);
    if (caught_) (void)std::fclose(caught_);
  }
  CaughtStderr(const CaughtStderr&) = delete;
  CaughtStderr& operator=(const CaughtStderr&) = delete;

  /// The first line so far; empty where all was quiet.
  std::string line() const {
    char text[256] = "";
    if (!caught_) return {};
    std::rewind(caught_);
    if (!std::fgets(text, sizeof text, caught_)) return {};
    return std::string(strip(text));
  }

 private:
  std::FILE* caught_;
  int saved_;
};

void check_readable(const std::filesystem::path& path) {
  std::error_code ignored;
  check(!std::filesystem::is_directory(path, ignored), "image ", path.string(), " is a folder");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  check(in.good(), "cannot open image ", path.string(), ": ", std::generic_category().message(errno));
  check(in.peek() != std::ifstream::traits_type::eof(), "image ", path.string(), " is empty");
}

cv::Mat read_image(const std::filesystem::path& path) {
  check_readable(path);
  cv::Mat image;
  std::string complaint;
  try {
    const CaughtStderr caught;
    image = cv::imread(path.string(), cv::IMREAD_COLOR);
    complaint = caught.line();
  } catch (const cv::Exception& e) {
    complaint = e.err;
  }
  // A JPEG file that ends too early is decoded all the same, the rest in gray.
  if (complaint.find("Premature end") != std::string::npos) image.release();
  check(!image.empty(), "cannot decode image ", path.string(), ": ",
        complaint.empty() ? "damaged, or not in a picture format that is known here" : complaint);
  return image;
}

}  // namespace

std::vector<cv::Mat> read_images(const std::vector<std::filesystem::path>& paths) {
  std::vector<cv::Mat> images;
  for (const auto& path : paths) {
    const cv::Mat image = images.emplace_back(read_image(path));
    check(image.size() == images[0].size(), "images of one batch must have one size: ", paths[0].string(), " is ",
          images[0].cols, " x ", images[0].rows, " pixels, ", path.string(), " is ", image.cols, " x ", image.rows,
          "; run them one by one");
  }
  return images;
}

void check_writable(const std::filesystem::path& path) {
  bool known = false;
  try {
    const CaughtStderr quiet;
    known = cv::haveImageWriter(path.string());
  } catch (const cv::Exception&) {
    known = false;  // no extension at all
  }
  check(known, "cannot write ", path.string(), ": the extension names no picture format; use .png or .jpg");
}

void write_image(const std::filesystem::path& path, const cv::Mat& image) {
  bool written = false;
  try {
    const CaughtStderr quiet;
    written = cv::imwrite(path.string(), image);
  } catch (const cv::Exception&) {
    written = false;
  }
  check(written, "cannot write ", path.string());
}

}  // namespace d2deploy::cli
