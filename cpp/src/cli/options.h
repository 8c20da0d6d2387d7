// The command line of caffe2_mask_rcnn: flags, their checks, and the help text.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "d2deploy/model.h"

namespace d2deploy::cli {

struct Options {
  std::filesystem::path predict_net, init_net;
  std::vector<std::filesystem::path> images;  ///< may be empty where only the graph is asked for
  ModelOptions model;                         ///< without `log`
  std::filesystem::path output_dir;
  float score_threshold = 0.6F;
  int benchmark = 0;  ///< timed runs; 0: as many as the original program makes
  bool profile = false, print_graph = false;
  std::filesystem::path visualize, dump_dir;  ///< empty: not wanted
};

/// Reads the command line. Returns nothing where all that it asked for was a text (--help, --version), which is then
/// printed. Throws InvalidArgument: unknown flag, wrong or missing value, missing flag.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace d2deploy::cli
