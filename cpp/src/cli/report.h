// What the program prints: times, shapes, predictions, the profile.
#pragma once
#include <filesystem>
#include <iosfwd>
#include <vector>

#include "cli/detections.h"
#include "d2deploy/model.h"

namespace d2deploy::cli {

/// The mean as the original program prints it; median, 90th percentile and minimum where `details` are wanted.
void print_latency(std::ostream& out, std::vector<double> seconds, bool details);

/// One line per output, in the model's order: name, shape, element type. Detections go by their short names.
void print_shapes(std::ostream& out, const std::vector<std::string>& order, const Tensors& outputs);

/// One line per detection whose score is at least `threshold`, counted within its image; with the
/// name of its class where the model's file tells it.
void print_predictions(std::ostream& out, const Detections& found, const std::vector<std::filesystem::path>& images,
                       float threshold);

/// A table of nodes, slowest first, and the totals per type of operator. Times are those of one run.
void print_profile(std::ostream& out, std::vector<NodeProfile> nodes);

}  // namespace d2deploy::cli
