// A stretch of bytes of a model.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

namespace d2deploy {

using Bytes = std::span<const std::byte>;

inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace d2deploy
