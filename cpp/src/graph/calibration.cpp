#include "graph/calibration.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/check.h"
#include "core/text.h"

namespace d2deploy {

namespace {

constexpr std::string_view kFirstLine = "d2deploy calibration 2", kLastLine = "end";
constexpr std::string_view kFirstLineWithoutEnd = "d2deploy calibration 1";  // of older versions
constexpr std::size_t kMostBytes = std::size_t{16} << 20;                    // nets have some hundred values

std::uint64_t parse_hex(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  check<InvalidModel>(error == std::errc() && end == text.data() + text.size() && text.size() == 16, "'", text,
                      "' is not a number of 16 hexadecimal digits");
  return number;
}

// The first word of a text, which loses it and the space behind.
std::string_view word(std::string_view& text) {
  const auto end = std::min(text.find(' '), text.size());
  const auto first = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return first;
}

float number(std::string_view& text) {
  const auto written = word(text);
  const float value = parse_float(written);
  check<InvalidModel>(std::isfinite(value), "'", written, "' must be finite");
  return value;
}

std::string name(std::string_view rest) {
  check<InvalidModel>(!rest.empty(), "a name is missing");
  return std::string(rest);
}

void read_line(std::string_view line, Calibration& calibration) {
  const auto kind = word(line);
  if (kind == "model") {
    calibration.model = parse_hex(line);
  } else if (kind == "range") {
    const float low = number(line), high = number(line);
    check<InvalidModel>(low <= high, "the range begins at ", low, " and ends at ", high);
    check<InvalidModel>(calibration.ranges.emplace(name(line), Range{low, high}).second, "'", line, "' has two ranges");
  } else if (kind == "layer") {
    const float error = number(line);
    check<InvalidModel>(error >= 0, "the error ", error, " is negative");
    calibration.layers[name(line)] = error;
  } else if (kind == "keep") {
    calibration.kept.insert(name(line));
  } else {
    fail<InvalidModel>("'", kind, "' is unknown; known: model, range, layer, keep");
  }
}

}  // namespace

std::string to_text(const Calibration& calibration) {
  std::string text = join(kFirstLine, "\nmodel ", hexadecimal(calibration.model), '\n');
  for (const auto& [value, range] : calibration.ranges)
    text += join("range ", to_text(range.low), ' ', to_text(range.high), ' ', value, '\n');
  for (const auto& [layer, error] : calibration.layers) text += join("layer ", to_text(error), ' ', layer, '\n');
  for (const auto& layer : calibration.kept) text += join("keep ", layer, '\n');
  return text + join(kLastLine, '\n');
}

Calibration parse_calibration(std::string_view text) {
  Calibration calibration;
  check<InvalidModel>(text.size() <= kMostBytes, "has ", text.size(), " bytes, at most ", kMostBytes, " make sense");
  bool named = false, ended = false;
  std::size_t row = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (row++ == 0) {
      ended = line == kFirstLineWithoutEnd;
      check<InvalidModel>(ended || line == kFirstLine,
                          "is not a calibration that this version reads: its first line must be '", kFirstLine, "'");
      continue;
    }
    if (line == kLastLine) {
      ended = true;
      break;
    }
    if (line.empty() || line.starts_with('#')) continue;
    named = named || line.starts_with("model ");
    try {
      read_line(line, calibration);
    } catch (const InvalidArgument& e) {  // of numbers
      fail<InvalidModel>("line ", row, ": ", e.what());
    } catch (const InvalidModel& e) {
      fail<InvalidModel>("line ", row, ": ", e.what());
    }
  }
  check<InvalidModel>(ended || row == 0, "is cut off: its last line must be '", kLastLine, "'; make it again");
  check<InvalidModel>(named, "does not say which model it is of: a line 'model' is missing");
  return calibration;
}

}  // namespace d2deploy
