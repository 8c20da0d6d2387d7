// Transposes of small matrices. Files for one instruction set include this: plain declarations only.
#pragma once
#include <cstdint>

namespace d2deploy {

/// y is the transpose of x, both of 16 x 16 words; steps are from row to row. Where has_avx2() is.
void transpose_16x16_avx2(const std::uint32_t* x, std::int64_t x_step, std::uint32_t* y, std::int64_t y_step);

}  // namespace d2deploy
