#include "cli/picture_header.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "cli/tiff_header.h"
#include "core/check.h"

namespace d2deploy::cli {

namespace {

using Span = std::span<const std::uint8_t>;

std::string_view text_of(Span bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// The part that begins at `place`, at most `size` bytes of it.
Span part(Span bytes, std::uint64_t place, std::uint64_t size) {
  if (place >= bytes.size()) return {};
  return bytes.subspan(place, std::min<std::uint64_t>(size, bytes.size() - place));
}

// What the parts of a file tell of the orientation: EXIF comes before XMP, wherever they stand.
class Orientation {
 public:
  void exif(Span bytes) {
    using namespace std::string_view_literals;
    if (text_of(bytes).starts_with("Exif\0\0"sv)) bytes = bytes.subspan(6);
    const TiffHeader header(bytes);
    if (exif_ == 0 && header.has(kOrientation)) exif_ = header.orientation();
  }
  void xmp(Span packet) {
    if (xmp_ == 0) xmp_ = xmp_orientation(packet);
  }
  int told() const { return exif_ != 0 ? exif_ : xmp_ != 0 ? xmp_ : 1; }

 private:
  int exif_ = 0, xmp_ = 0;
};

constexpr const char* kFloats =
    "holds floating-point values, of which only you know what is white; scale them to 8 bits and save that as PNG";

void read_jpeg(Span file, PictureHeader& header) {
  using namespace std::string_view_literals;
  const FileNumbers numbers(file, true);
  Orientation orientation;
  std::uint64_t components = 0;
  bool adobe = false;
  for (std::uint64_t at = 2; at + 4 <= file.size();) {
    if (file[at] != 0xFF || file[at + 1] == 0xFF) {
      ++at;  // fill bytes, and what decoders skip
      continue;
    }
    const auto marker = file[at + 1];
    if (marker == 0xDA || marker == 0xD9) break;  // the picture itself, or the end
    if (marker <= 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      at += 2;  // markers without a length
      continue;
    }
    const auto length = numbers.at(at + 2, 2);
    const Span body = part(file, at + 4, length >= 2 ? length - 2 : 0);
    constexpr auto kXmpName = "http://ns.adobe.com/xap/1.0/\0"sv;
    if (marker == 0xE1 && text_of(body).starts_with("Exif\0\0"sv))
      orientation.exif(body);
    else if (marker == 0xE1 && text_of(body).starts_with(kXmpName))
      orientation.xmp(body.subspan(kXmpName.size()));
    else if (marker == 0xEE && text_of(body).starts_with("Adobe"))
      adobe = true;
    else if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
      header.height = static_cast<std::int64_t>(numbers.at(at + 5, 2));
      header.width = static_cast<std::int64_t>(numbers.at(at + 7, 2));
      components = numbers.at(at + 9, 1);
    }
    at += 2 + std::max<std::uint64_t>(length, 2);
  }
  header.jpeg = true;
  header.orientation = orientation.told();
  if (components == 4 && !adobe)
    header.refused = "is a CMYK JPEG file that does not say whether 0 or 255 is full ink; save it in RGB";
}

void read_png(Span file, PictureHeader& header) {
  using namespace std::string_view_literals;
  const FileNumbers numbers(file, true);
  Orientation orientation;
  header.width = static_cast<std::int64_t>(numbers.at(16, 4));
  header.height = static_cast<std::int64_t>(numbers.at(20, 4));
  for (std::uint64_t at = 8; at + 8 <= file.size();) {
    const auto length = numbers.at(at, 4);
    const auto name = text_of(part(file, at + 4, 4));
    const Span body = part(file, at + 8, length);
    if (name == "eXIf")
      orientation.exif(body);
    else if (name == "iTXt" && text_of(body).starts_with("XML:com.adobe.xmp\0\0"sv))
      orientation.xmp(body);
    at += 12 + length;
  }
  header.orientation = orientation.told();
}

void read_webp(Span file, PictureHeader& header) {
  const FileNumbers numbers(file, false);
  Orientation orientation;
  for (std::uint64_t at = 12; at + 8 <= file.size();) {
    const auto length = numbers.at(at + 4, 4);
    const auto name = text_of(part(file, at, 4));
    const Span body = part(file, at + 8, length);
    const auto size = [&](std::uint64_t width, std::uint64_t height) {
      if (header.width != 0) return;  // the canvas has told it
      header.width = static_cast<std::int64_t>(width);
      header.height = static_cast<std::int64_t>(height);
    };
    if (name == "VP8X") {
      size(numbers.at(at + 12, 3) + 1, numbers.at(at + 15, 3) + 1);
      if (numbers.at(at + 8, 1) & 2U) header.refused = "is an animated WebP file; save one frame of it as a picture";
    } else if (name == "VP8 ") {
      size(numbers.at(at + 14, 2) & 0x3FFFU, numbers.at(at + 16, 2) & 0x3FFFU);
    } else if (name == "VP8L") {
      const auto bits = numbers.at(at + 9, 4);
      size((bits & 0x3FFFU) + 1, (bits >> 14 & 0x3FFFU) + 1);
    } else if (name == "EXIF") {
      orientation.exif(body);
    } else if (name == "XMP ") {
      orientation.xmp(body);
    }
    at += 8 + length + length % 2;
  }
  header.orientation = orientation.told();
}

std::string tiff_refusal(const TiffHeader& tiff) {
  enum Photometric : std::uint8_t { kWhiteIsZero, kBlackIsZero, kRgb, kPalette, kCmyk = 5, kYCbCr = 6 };
  const auto bits = tiff.value(kBitsPerSample, 0, 1), format = tiff.value(kSampleFormat, 0, 1);
  const auto photometric = tiff.value(kPhotometric, 0, kBlackIsZero);
  constexpr std::uint64_t kUnsigned = 1, kSigned = 2, kFloat = 3, kVoid = 4;
  for (std::uint64_t i = 1; i < std::min<std::uint64_t>(tiff.count(kBitsPerSample), 16); ++i)
    if (tiff.value(kBitsPerSample, i, bits) != bits) return "has channels of different bits; save it with 8 in each";
  if (format == kFloat) return kFloats;
  if (format == kSigned || (bits > 16 && format == kUnsigned))
    return join("holds ", format == kSigned ? "signed " : "", "integers of ", bits,
                " bits, of which only you know what is white; scale them to 8 bits and save that as PNG");
  if ((format != kUnsigned && format != kVoid) || (bits != 1 && bits != 2 && bits != 4 && bits != 8 && bits != 16))
    return join("has ", bits, " bits in a channel, available: 1, 2, 4, 8, 16; save it as PNG");
  const bool known = bits == 16 ? photometric == kBlackIsZero || photometric == kRgb
                                : photometric <= kPalette || photometric == kCmyk || photometric == kYCbCr;
  if (!known)
    return join("is of TIFF's photometric interpretation ", photometric, " with ", bits,
                " bits in a channel, which is not read; save it in RGB or gray");
  constexpr std::uint64_t kAssociated = 1;
  if (bits == 16 && tiff.value(kExtraSamples, 0, 0) == kAssociated)
    return "has 16 bits in a channel, multiplied with the alpha; save it without alpha";
  return {};
}

void read_tiff(std::span<std::uint8_t> file, PictureHeader& header) {
  const TiffHeader tiff(file);
  header.width = static_cast<std::int64_t>(std::min<std::uint64_t>(tiff.value(kImageWidth, 0, 0), INT32_MAX));
  header.height = static_cast<std::int64_t>(std::min<std::uint64_t>(tiff.value(kImageLength, 0, 0), INT32_MAX));
  header.orientation = tiff.orientation();
  header.refused = tiff_refusal(tiff);
  tiff.set(kOrientation, 1, file);
  // libtiff multiplies colors with an alpha that is declared as not multiplied yet.
  const auto alpha = tiff.value(kExtraSamples, 0, 0);
  header.premultiplied = alpha == 1 && tiff.value(kSamplesPerPixel, 0, 1) == 4;
  if (alpha == 2) tiff.set(kExtraSamples, 1, file);
}

// P5 and P6 store bytes or words that OpenCV gives as they are; P2 and P3 it scales where they fit into bytes.
void read_netpbm(Span file, PictureHeader& header) {
  std::size_t at = 2;
  const auto next = [&]() -> std::int64_t {
    while (at < file.size() && (file[at] == '#' || file[at] <= ' ')) {
      if (file[at] == '#')
        while (at < file.size() && file[at] != '\n') ++at;
      else
        ++at;
    }
    const auto text = text_of(file).substr(at);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    at += static_cast<std::size_t>(end - text.data());
    return error == std::errc() && value <= INT32_MAX ? value : 0;
  };
  header.width = next();
  header.height = next();
  const char kind = static_cast<char>(file[1]);
  if (kind == '1' || kind == '4') return;
  const auto maximum = next();
  if (maximum < 1 || maximum > 65535) header.refused = "has no maximum from 1 to 65535 in its head";
  const bool plain = kind == '2' || kind == '3';
  if (maximum == 255 || (plain && maximum < 255)) return;
  header.maximum = maximum;
  header.white = maximum > 255 && (kind == '2' || kind == '5') ? 65535 : 255;  // as Pillow has it
}

}  // namespace

PictureHeader read_header(std::span<std::uint8_t> file) {
  using namespace std::string_view_literals;
  PictureHeader header;
  const auto start = text_of(part(file, 0, 16));
  const auto begins = [&](std::string_view with) { return start.starts_with(with); };
  const FileNumbers little(file, false), big(file, true);
  if (begins("\xFF\xD8\xFF")) {
    read_jpeg(file, header);
  } else if (begins("\x89PNG\r\n\x1A\n")) {
    read_png(file, header);
  } else if (begins("RIFF") && start.substr(std::min<std::size_t>(start.size(), 8)).starts_with("WEBP")) {
    read_webp(file, header);
  } else if (begins("II*\0"sv) || begins("MM\0*"sv) || begins("II+\0"sv) || begins("MM\0+"sv)) {
    read_tiff(file, header);
  } else if (start.size() > 2 && start[0] == 'P' && start[1] >= '1' && start[1] <= '6') {
    read_netpbm(file, header);
  } else if (begins("P7")) {
    header.refused = "is a PAM file; save it as PNG";
  } else if (begins("PF") || begins("Pf") || begins("#?RADIANCE") || begins("#?RGBE") || begins("\x76\x2F\x31\x01")) {
    header.refused = kFloats;
  } else if (begins("BM")) {
    const auto height = static_cast<std::int32_t>(little.at(22, 4));  // below 0: its rows are from top to bottom
    header.width = static_cast<std::int64_t>(little.at(18, 4));
    header.height = height < 0 ? -std::int64_t{height} : height;
  } else if (begins("\x59\xA6\x6A\x95")) {  // Sun raster
    header.width = static_cast<std::int64_t>(big.at(4, 4));
    header.height = static_cast<std::int64_t>(big.at(8, 4));
  } else if (begins("\0\0\0\x0CjP  "sv) || begins("\xFF\x4F\xFF\x51")) {  // JPEG 2000
    const auto size = text_of(part(file, 0, 1 << 16)).find("\xFF\x4F\xFF\x51");
    if (size != std::string_view::npos) {
      header.width =
          static_cast<std::int64_t>(big.at(size + 8, 4) - std::min(big.at(size + 16, 4), big.at(size + 8, 4)));
      header.height =
          static_cast<std::int64_t>(big.at(size + 12, 4) - std::min(big.at(size + 20, 4), big.at(size + 12, 4)));
    }
    header.decoder_scales = true;
  }
  return header;
}

}  // namespace d2deploy::cli
