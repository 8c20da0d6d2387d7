// What int8 needs to know of a net beside its weights: the ranges of its values over real pictures, in a text file.
//
//   d2deploy calibration 2
//   model 6c1f0e5b2a9d4c37          which net it was made of
//   range 0.0 6.25 conv1             smallest and largest number of a value, in order, name last
//   layer 0.0042 res2_0_branch2a     error of a layer in int8: of the L2 norm of its output
//   keep res5_2_branch2c             a layer that stays float32
//   end                              whatever a copy lost from the back, this is lost too
//
// Empty lines and those that begin with # mean nothing.
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace d2deploy {

struct Range {
  float low = 0, high = 0;
  friend bool operator==(const Range&, const Range&) = default;
};

struct Calibration {
  std::uint64_t model = 0;              ///< fingerprint of the net after import
  std::map<std::string, Range> ranges;  ///< by value
  std::map<std::string, float> layers;  ///< by a layer's output: the error that int8 makes there
  std::set<std::string> kept;           ///< layers that stay float32
  friend bool operator==(const Calibration&, const Calibration&) = default;
};

std::string to_text(const Calibration& calibration);
/// Throws InvalidModel, with the line, where the text is not of the form above.
Calibration parse_calibration(std::string_view text);

}  // namespace d2deploy
