#include "cli/images.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <system_error>

#include "core/check.h"

namespace d2deploy::cli {

namespace {

// Sends stderr away for as long as it lives: libpng and libjpeg write there what our errors say better.
class QuietStderr {
 public:
  QuietStderr() : saved_(dup(STDERR_FILENO)) {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (saved_ >= 0 && null >= 0) dup2(null, STDERR_FILENO);
    if (null >= 0) close(null);
  }
  ~QuietStderr() {
    if (saved_ < 0) return;
    dup2(saved_, STDERR_FILENO);
    close(saved_);
  }
  QuietStderr(const QuietStderr&) = delete;
  QuietStderr& operator=(const QuietStderr&) = delete;

 private:
  int saved_;
};

std::vector<unsigned char> read_file(const std::filesystem::path& path) {
  check(!std::filesystem::is_directory(path), "image ", path.string(), " is a folder");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  check(in.good(), "cannot open image ", path.string(), ": ", std::generic_category().message(errno));
  std::vector<unsigned char> bytes{std::istreambuf_iterator<char>(in), {}};
  check(!bytes.empty(), "image ", path.string(), " is empty");
  return bytes;
}

cv::Mat read_image(const std::filesystem::path& path) {
  const auto bytes = read_file(path);
  cv::Mat image;
  try {
    const QuietStderr quiet;
    image = cv::imdecode(bytes, cv::IMREAD_COLOR);
  } catch (const cv::Exception& e) {
    fail<InvalidArgument>("cannot decode image ", path.string(), ": ", e.err);
  }
  check(!image.empty(), "cannot decode image ", path.string(), ": damaged, or not a picture format that is known here");
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
    const QuietStderr quiet;
    known = cv::haveImageWriter(path.string());
  } catch (const cv::Exception&) {
    known = false;  // no extension at all
  }
  check(known, "cannot write ", path.string(), ": the extension names no picture format; use .png or .jpg");
}

void write_image(const std::filesystem::path& path, const cv::Mat& image) {
  bool written = false;
  try {
    const QuietStderr quiet;
    written = cv::imwrite(path.string(), image);
  } catch (const cv::Exception&) {
    written = false;
  }
  check(written, "cannot write ", path.string());
}

}  // namespace d2deploy::cli
