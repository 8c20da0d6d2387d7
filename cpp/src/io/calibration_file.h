// Files of calibrations.
#pragma once
#include <filesystem>

#include "graph/calibration.h"

namespace d2deploy {

/// Throws InvalidModel, with the path and the line; InvalidArgument where the file cannot be opened.
Calibration read_calibration(const std::filesystem::path& file);
/// Throws InvalidArgument where it cannot be written. A file that is there is replaced when all is written.
void write_calibration(const Calibration& calibration, const std::filesystem::path& file);

}  // namespace d2deploy
