// Rows of several images one after the other, with a list of how many each image has.
#pragma once
#include <cstdint>
#include <span>

#include "core/check.h"

namespace d2deploy {

/// Throws InvalidArgument unless the splits are whole, not negative, and add up to `rows`.
template <class T>
void check_splits(const char* op, std::span<const T> splits, std::int64_t rows) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < splits.size(); ++i) {
    const auto value = static_cast<double>(splits[i]);
    const bool whole = value >= 0 && value <= static_cast<double>(rows) &&
                       value == static_cast<double>(static_cast<std::int64_t>(value));
    check(whole, op, ": batch_splits[", i, "] is ", value, ", must be a whole number from 0 to ", rows);
    sum += static_cast<std::int64_t>(value);
  }
  check(sum == rows, op, ": batch_splits add up to ", sum, ", but there are ", rows, " rows");
}

}  // namespace d2deploy
