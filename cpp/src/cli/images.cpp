#include "cli/images.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <system_error>

#include "cli/picture_header.h"
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

std::vector<std::uint8_t> read_file(const std::filesystem::path& path) {
  std::error_code ignored;
  check(!std::filesystem::is_directory(path, ignored), "image ", path.string(), " is a folder");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  check(in.good(), "cannot open image ", path.string(), ": ", std::generic_category().message(errno));
  std::vector<std::uint8_t> bytes;
  constexpr std::size_t kBlock = std::size_t{1} << 20, kMost = std::size_t{1} << 31;
  while (in) {  // not by its size, which a pipe does not have
    const std::size_t size = bytes.size();
    check(size < kMost, "image ", path.string(), " has more than 2 GiB");
    bytes.resize(size + kBlock);
    in.read(reinterpret_cast<char*>(bytes.data() + size), kBlock);
    bytes.resize(size + static_cast<std::size_t>(in.gcount()));
  }
  check(!bytes.empty(), "image ", path.string(), " is empty");
  return bytes;
}

void check_header(const std::filesystem::path& path, const PictureHeader& header) {
  check(header.refused.empty(), "image ", path.string(), " ", header.refused);
  constexpr std::int64_t kMostPixels = 178956970;  // Pillow's: a small file may claim any number
  check(header.height == 0 || header.width <= kMostPixels / header.height, "image ", path.string(), " has ",
        header.width, " x ", header.height, " pixels, at most ", kMostPixels, " are read; cut it into parts");
}

cv::Mat decode(const std::filesystem::path& path, const std::vector<std::uint8_t>& bytes, const PictureHeader& header) {
  const int flags = header.premultiplied ? cv::IMREAD_UNCHANGED
                                         : cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION |
                                               (header.decoder_scales ? 0 : cv::IMREAD_ANYDEPTH);
  cv::Mat image;
  std::string complaint;
  try {
    const CaughtStderr caught;
    image = header.jpeg ? cv::imread(path.string(), flags) : cv::imdecode(bytes, flags);
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

cv::Mat without_alpha(const cv::Mat& image) {
  cv::Mat plain(image.size(), CV_8UC3);
  for (int y = 0; y < image.rows; ++y)
    for (int x = 0; x < image.cols; ++x) {
      const auto& from = image.at<cv::Vec4b>(y, x);
      const int alpha = from[3] == 0 ? 255 : from[3];
      for (int c = 0; c < 3; ++c) plain.at<cv::Vec3b>(y, x)[c] = cv::saturate_cast<uchar>(from[c] * 255 / alpha);
    }
  return plain;
}

// Netpbm values, of which `maximum` is white, rounded; of 16 bits the low byte goes.
cv::Mat to_8_bits(const cv::Mat& image, const PictureHeader& header) {
  if (image.depth() == CV_8U && header.maximum == 0) return image;
  const auto byte_of = [&](int value) {
    if (header.maximum == 0) return value >> 8;
    const double share = std::min(1.0, static_cast<double>(value) / static_cast<double>(header.maximum));
    const int scaled = cvRound(share * static_cast<double>(header.white));
    return header.white == 255 ? scaled : scaled >> 8;
  };
  std::vector<uchar> table(image.depth() == CV_8U ? 256 : 65536);
  for (std::size_t value = 0; value < table.size(); ++value)
    table[value] = static_cast<uchar>(byte_of(static_cast<int>(value)));
  cv::Mat bytes(image.size(), CV_8UC3);
  for (int y = 0; y < image.rows; ++y) {
    auto* to = bytes.ptr<uchar>(y);
    for (int i = 0; i < image.cols * 3; ++i)
      to[i] = table[image.depth() == CV_8U ? image.ptr<uchar>(y)[i] : image.ptr<ushort>(y)[i]];
  }
  return bytes;
}

// EXIF tells where the first row and the first column are: 6 has them right and on top.
cv::Mat upright(cv::Mat image, int orientation) {
  if (orientation >= 5) cv::transpose(image, image);
  constexpr int kAsItIs = 2, kAcross = 1, kDown = 0, kBoth = -1;
  constexpr std::array<int, 9> kFlips{kAsItIs, kAsItIs, kAcross, kBoth, kDown, kAsItIs, kAcross, kBoth, kDown};
  const int flip = kFlips[static_cast<std::size_t>(orientation)];
  if (flip != kAsItIs) cv::flip(image, image, flip);
  return image;
}

cv::Mat read_image(const std::filesystem::path& path) {
  auto bytes = read_file(path);
  const PictureHeader header = read_header(bytes);
  check_header(path, header);
  cv::Mat image = decode(path, bytes, header);
  if (header.premultiplied && image.type() == CV_8UC4) image = without_alpha(image);
  check(image.type() == CV_8UC3 || image.type() == CV_16UC3, "image ", path.string(), " has pixels of type ",
        cv::typeToString(image.type()), ", wanted 8 or 16 bits in a channel; save it as PNG");
  return upright(to_8_bits(image, header), header.orientation);
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
