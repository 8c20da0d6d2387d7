#include "io/calibration_file.h"

#include <fstream>

#include "core/check.h"
#include "io/file.h"

namespace d2deploy {

Calibration read_calibration(const std::filesystem::path& file) {
  const FileBytes content(file);
  return with_context([&] { return file.string(); }, [&] { return parse_calibration(as_text(content.bytes())); });
}

void write_calibration(const Calibration& calibration, const std::filesystem::path& file) {
  auto beside = file;
  beside += ".part";
  const std::string text = to_text(calibration);
  std::ofstream out(beside, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(beside, file, error);
  if (out && !error) return;
  std::error_code ignored;
  std::filesystem::remove(beside, ignored);
  fail<InvalidArgument>(file.string(), ": the calibration cannot be written; give a file in a folder that can be");
}

}  // namespace d2deploy
