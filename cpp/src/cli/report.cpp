#include "cli/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <map>
#include <numeric>
#include <ostream>

#include "core/check.h"
#include "core/text.h"

namespace d2deploy::cli {

namespace {

// 10^9 per second; a dash where the amount is not known.
std::string giga_rate(double amount, double milliseconds) {
  return amount > 0 && milliseconds > 0 ? fixed(amount / milliseconds / 1e6, 1) : "-";
}

std::string share(double part, double whole) { return whole > 0 ? fixed(100 * part / whole, 1) + '%' : "-"; }

std::string short_name(const std::string& blob) {
  constexpr std::array<std::array<const char*, 2>, 4> kNames{
      {{"bbox_nms", "bbox"}, {"score_nms", "scores"}, {"class_nms", "labels"}, {"mask_fcn_probs", "mask_probs"}}};
  for (const auto& [name, shorter] : kNames)
    if (blob == name) return shorter;
  return blob;
}

void print_prediction(std::ostream& out, const Detections& found, std::int64_t row, std::int64_t index) {
  std::string corners;
  for (const float value : found.box(row)) corners += join(corners.empty() ? "" : ", ", value);
  const std::string name = found.name(row);
  out << join("Prediction ", index, found.box(row).size() == 4 ? ", xyxy=(" : ", cxcywha=(", corners,
              "); score=", found.score(row), "; label=", found.labels[row], name.empty() ? "" : "; name=", name, '\n');
}

// Rows of words in columns as wide as needed; the first `numbers` columns are flush right, the last is not padded.
void print_table(std::ostream& out, const std::vector<std::vector<std::string>>& rows, std::size_t numbers) {
  std::vector<std::size_t> width(rows[0].size(), 0);
  for (const auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      const bool last = c + 1 == row.size();
      const int columns = last && c >= numbers ? 0 : static_cast<int>(width[c]);
      out << (c ? "  " : "") << (c < numbers ? std::right : std::left) << std::setw(columns) << row[c];
    }
    out << '\n';
  }
}

double per_run(const NodeProfile& node) {
  return node.runs > 0 ? node.milliseconds / static_cast<double>(node.runs) : 0;
}

struct Total {
  std::string type;
  std::int64_t nodes = 0;
  double milliseconds = 0, flops = 0, bytes = 0;
};

std::vector<Total> totals_by_type(const std::vector<NodeProfile>& nodes) {
  std::map<std::string, Total> by_type;
  for (const NodeProfile& node : nodes) {
    Total& total = by_type[node.type];
    total.type = node.type;
    total.nodes += 1;
    total.milliseconds += per_run(node);
    total.flops += node.flops;
    total.bytes += node.bytes;
  }
  std::vector<Total> totals;
  for (const auto& [type, total] : by_type) totals.push_back(total);
  std::ranges::stable_sort(totals, std::greater{}, &Total::milliseconds);
  return totals;
}

}  // namespace

void print_latency(std::ostream& out, std::vector<double> seconds, bool details) {
  std::ranges::sort(seconds);
  const std::size_t n = seconds.size();
  const double mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(n);
  out << join("Latency (should vary with different inputs): ", mean, " seconds\n");
  if (!details) return;
  const double median = (seconds[(n - 1) / 2] + seconds[n / 2]) / 2;
  const double p90 = seconds[(9 * n + 9) / 10 - 1];  // the smallest that at least 90 % do not exceed
  out << join("Benchmark: ", n, " runs, median ", fixed(median * 1e3, 3), " ms, p90 ", fixed(p90 * 1e3, 3), " ms, min ",
              fixed(seconds.front() * 1e3, 3), " ms\n");
}

void print_shapes(std::ostream& out, const std::vector<std::string>& order, const Tensors& outputs) {
  for (const std::string& blob : order)
    if (const auto it = outputs.find(blob); it != outputs.end())
      out << join(short_name(blob), ": ", it->second.shape(), ' ', it->second.dtype(), '\n');
}

void print_predictions(std::ostream& out, const Detections& found, const std::vector<std::filesystem::path>& images,
                       float threshold) {
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (images.size() > 1) out << join("Image ", i, ": ", images[i].string(), '\n');
    std::int64_t printed = 0;
    for (std::int64_t row = found.first[i]; row < found.first[i + 1]; ++row) {
      if (!(found.score(row) >= threshold)) continue;
      print_prediction(out, found, row, row - found.first[i]);
      ++printed;
    }
    if (printed == 0)
      out << join("No prediction with a score of at least ", threshold, " among ", found.first[i + 1] - found.first[i],
                  '\n');
  }
}

void print_profile(std::ostream& out, std::vector<NodeProfile> nodes) {
  std::ranges::stable_sort(nodes, std::greater{}, per_run);
  const auto totals = totals_by_type(nodes);
  double all = 0;
  for (const Total& total : totals) all += total.milliseconds;

  std::vector<std::vector<std::string>> rows{
      {"ms", "share", "GFLOP/s", "GB/s", "kernel", "operator", "output", "shape"}};
  for (const NodeProfile& node : nodes) {
    const double ms = per_run(node);
    rows.push_back({fixed(ms, 3), share(ms, all), giga_rate(node.flops, ms), giga_rate(node.bytes, ms), node.kernel,
                    node.type, node.output, node.shape});
  }
  out << join("\nProfile of ", nodes.size(), " nodes, one run\n");
  print_table(out, rows, 4);

  rows = {{"ms", "share", "GFLOP/s", "GB/s", "nodes", "operator"}};
  for (const Total& t : totals)
    rows.push_back({fixed(t.milliseconds, 3), share(t.milliseconds, all), giga_rate(t.flops, t.milliseconds),
                    giga_rate(t.bytes, t.milliseconds), std::to_string(t.nodes), t.type});
  rows.push_back({fixed(all, 3), share(all, all), "", "", std::to_string(nodes.size()), "all"});
  out << "\nTotals per operator\n";
  print_table(out, rows, 5);
}

}  // namespace d2deploy::cli
