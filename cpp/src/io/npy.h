// NumPy's .npy files, version 1.0: what --dump_dir and the tests write.
#pragma once
#include <filesystem>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// Writes a row-major tensor. Throws InvalidArgument, with the path, where that fails.
void write_npy(const std::filesystem::path& path, const Tensor& tensor);

}  // namespace d2deploy
