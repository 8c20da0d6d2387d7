// A case: one operator call as a line of text. It is a test, a benchmark and a repro command.
//
//   Type arg=value ... : input input ... -> expected
//
//   input     [!][dtype:]dims[=v,v,...|~generator]     `!`: a constant, such as weights
//             float32 where no dtype is given; dims as in 2x3x8x8, or `scalar`
//   generator uniform(lo,hi)   iota   fill(v)   probabilities   permutation   anchors(size)
//             rois(N,H,W)   boxes corners inside an H x W image; with 5 columns the first is the image, grouped
//             Without one: uniform(-1,1), and iota for integers.
//   expected  values of output 0 [| values of output 1 ...], or `error: part of the message`
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operators/operator.h"

namespace d2deploy {

struct Case {
  std::string text;
  const Operator* op = nullptr;
  Args args;
  std::vector<Tensor> inputs;
  std::vector<bool> constant;
  std::vector<std::vector<float>> expected;  ///< per output; empty where the line gives none
  std::optional<std::string> error;
};

/// Throws InvalidArgument where the line is not of the form above.
Case parse_case(std::string_view line);

/// The cases of a file's text; empty lines and those that start with '#' are skipped.
std::vector<Case> parse_cases(std::string_view text);

}  // namespace d2deploy
