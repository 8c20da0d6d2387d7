// Reads an init net so that it takes as much memory as its weights, not as much as its file: five bytes stand there for
// each float, its tag and its four.
#pragma once
#include <cstddef>
#include <functional>
#include <set>

#include "io/bytes.h"

namespace d2deploy {

/// Reads bytes of the file that begin there; called from several threads. Throws.
using ReadBytes = std::function<void(std::size_t begin, std::span<std::byte> bytes)>;

/// Reads a file of `size` bytes into `memory`, each byte to its place, but for long runs of tagged floats that stand
/// where split_floats finds them: of those only the values are stored, side by side from FloatRun::aligned_place on,
/// and the memory behind them is not touched. Whatever is unusual is read as it is.
/// Returns: where these runs begin.
std::set<const std::byte*> read_sparsely(std::byte* memory, std::size_t size, const ReadBytes& read);

}  // namespace d2deploy
