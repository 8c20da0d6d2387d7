// Rows of several images one after the other, with a list of how many each image has.
#pragma once
#include <cstdint>
#include <span>

#include "core/check.h"
#include "kernels/simt/host_device.h"

namespace d2deploy {

/// What is wrong with such a list.
struct SplitFault {
  enum Kind : std::int32_t { none, not_whole, other_sum } kind = none;
  std::int64_t index = 0;
  double found = 0;
};

/// The first fault, unless the splits are whole, not negative, and add up to `rows`.
template <class T>
SIMT_HOST_DEVICE SplitFault find_split_fault(const T* splits, std::int64_t count, std::int64_t rows) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(splits[i]);
    const bool whole = value >= 0 && value <= static_cast<double>(rows) &&
                       value == static_cast<double>(static_cast<std::int64_t>(value));
    if (!whole) return {SplitFault::not_whole, i, value};
    sum += static_cast<std::int64_t>(value);
  }
  if (sum != rows) return {SplitFault::other_sum, count, static_cast<double>(sum)};
  return {};
}

/// Throws InvalidArgument where there is a fault.
inline void check_split_fault(const char* op, const SplitFault& fault, std::int64_t rows) {
  check(fault.kind != SplitFault::not_whole, op, ": batch_splits[", fault.index, "] is ", fault.found,
        ", must be a whole number from 0 to ", rows);
  check(fault.kind != SplitFault::other_sum, op, ": batch_splits add up to ", static_cast<std::int64_t>(fault.found),
        ", but there are ", rows, " rows");
}

template <class T>
void check_splits(const char* op, std::span<const T> splits, std::int64_t rows) {
  check_split_fault(op, find_split_fault(splits.data(), static_cast<std::int64_t>(splits.size()), rows), rows);
}

}  // namespace d2deploy
