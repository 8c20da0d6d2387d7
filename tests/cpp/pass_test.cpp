// Runs one pass on every graph of its .net file, tests/passes/<pass>.net:
//   graph after the pass == the text that the file gives;  a second run changes nothing;
//   both graphs compute the same numbers, by the portable kernels; of masks that became one for each row, those of
//   its class.
//
//   === heading              a graph follows, in its text form
//   --- becomes              the graph that the pass makes of it follows
//   --- error: part of text  instead: what the pass throws
//   A heading with `must not change` has neither.
//
//   pass_test FILE...        exit status 0: all graphs pass
//   pass_test --print FILE   what the pass makes of each graph
//   pass_test --complete DIR exit status 0: every pass has its file in DIR, every file its pass
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <numeric>
#include <optional>
#include <sstream>

#include "graph/graph.h"
#include "kernels/reorder.h"
#include "operators/evaluate.h"
#include "passes/pass.h"

using namespace d2deploy;

namespace {

namespace fs = std::filesystem;
using Values = std::map<std::string, Tensor>;

struct Pair {
  std::string heading, before, after;
  std::optional<std::string> error;
  bool must_not_change = false;
};

std::vector<Pair> parse_pairs(std::istream& in) {
  std::vector<Pair> pairs;
  std::string* target = nullptr;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("=== ")) {
      pairs.push_back({line.substr(4), {}, {}, {}, line.find("must not change") != std::string::npos});
      target = &pairs.back().before;
    } else if (line.starts_with("--- ")) {
      check(target != nullptr, "'", line, "' stands before any heading");
      check(line == "--- becomes" || line.starts_with("--- error: "), "'", line, "' is not known");
      if (line.starts_with("--- error: ")) pairs.back().error = line.substr(11);
      target = &pairs.back().after;
    } else if (target != nullptr) {
      *target += line + '\n';
    } else {
      check(strip(line).empty() || line.front() == '#', "'", line, "' stands before any heading");
    }
  }
  return pairs;
}

// ---- Numbers -------------------------------------------------------------------------------------

// Sizes for dimensions that a graph leaves open, by their place.
constexpr std::int64_t kSizes[] = {2, 3, 6, 8};

// RoIs of one image of 32 x 32 pixels: the first is small, the last covers half of the picture.
void fill_rois(Tensor& t) {
  const std::int64_t rows = t.dim(0), columns = t.dim(1), first = columns % 4;
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = t.data<float>() + r * columns;
    if (first == 1) row[0] = 0;
    const float x = static_cast<float>(r % 5) * 2.0F,
                side = 3.0F + 13.0F * static_cast<float>(r + 1) / static_cast<float>(rows);
    for (std::int64_t c = first; c < columns; c += 4) {
      row[c] = x + static_cast<float>(c);
      row[c + 1] = x;
      row[c + 2] = row[c] + side;
      row[c + 3] = row[c + 1] + side;
    }
  }
}

// Values that an input of this name can have: `rois...` and `boxes...` are boxes, other floats lie in [-1, 1),
// integers are 0, 1, 2, ...
Tensor input_values(const std::string& name, TensorType type, std::uint32_t seed) {
  for (std::size_t i = 0; i < type.shape.rank(); ++i)
    if (type.shape[i] == kUnknown) type.shape[i] = kSizes[i % 4];
  Tensor t = Tensor::allocate(type);
  if (type.dtype == DType::int32) {
    std::iota(t.data<std::int32_t>(), t.data<std::int32_t>() + t.size(), 0);
  } else if (name.starts_with("rois") || name.starts_with("boxes")) {
    fill_rois(t);
  } else {
    for (std::int64_t i = 0; i < t.size(); ++i) {
      seed = seed * 1664525U + 1013904223U;  // Numerical Recipes' generator
      t.data<float>()[i] = static_cast<float>(seed >> 8) * 0x1p-23F - 1.0F;
    }
  }
  return t;
}

Values outputs_of(const Graph& graph, const Values& inputs) {
  Values values = inputs;
  for (const auto& [name, tensor] : graph.constants) values[name] = tensor;
  for (const Node& node : graph.nodes) {
    const Operator* op = find_operator(node.type);
    check(op != nullptr, "there is no operator '", node.type, "'");
    Args args = node.args;
    for (const auto& name : unknown_arguments(*op, args)) args.erase(name);  // files have some that mean nothing
    std::vector<Tensor> in;
    for (const auto& x : node.inputs) in.push_back(values.at(x));
    const auto out = evaluate(*op, args, in);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) values[node.outputs[i]] = out.at(i);
  }
  Values outputs;
  for (const auto& y : graph.outputs) outputs[y] = reordered(values.at(y), Layout::row_major);
  return outputs;
}

// The order of summation may differ: a few hundred roundings of values near 1.
constexpr float kTolerance = 256 * std::numeric_limits<float>::epsilon();
// A handful of roundings to bfloat16, each of 2^-8.
constexpr float kReducedTolerance = 0x1p-6F;

std::string difference(const Tensor& have, const Tensor& want, float tolerance) {
  if (have.type() != want.type()) return join("is ", have.dtype(), have.shape(), ", was ", want.dtype(), want.shape());
  if (have.dtype() != DType::float32)
    return std::memcmp(have.raw(), want.raw(), static_cast<std::size_t>(want.bytes())) == 0 ? "" : "differs";
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const float a = have.data<float>()[i], b = want.data<float>()[i];
    if (!(std::fabs(a - b) <= tolerance * std::max(1.0F, std::fabs(b))))
      return join("is ", a, " at element ", i, ", was ", b);
  }
  return {};
}

// (R, classes, M, M) -> (R, 1, M, M): the mask of the class of each row.
Tensor of_own_class(const Tensor& masks, const Tensor& classes) {
  TensorType type = masks.type();
  type.shape[1] = 1;
  Tensor own = Tensor::allocate(type);
  const std::int64_t cells = masks.dim(2) * masks.dim(3);
  for (std::int64_t r = 0; r < masks.dim(0); ++r) {
    const auto label = static_cast<std::int64_t>(classes.data<float>()[r]);
    std::copy_n(masks.data<float>() + (r * masks.dim(1) + label) * cells, cells, own.data<float>() + r * cells);
  }
  return own;
}

std::string difference_in_numbers(const Graph& before, const Graph& after) {
  Values inputs;
  std::uint32_t seed = 1;
  for (const auto& name : before.inputs) inputs[name] = input_values(name, before.input_types.at(name), seed++);
  Values want = outputs_of(before, inputs);
  const Values have = outputs_of(after, inputs);
  const auto masks = want.find("mask_fcn_probs");
  if (masks != want.end() && std::ranges::any_of(after.nodes, [](const Node& n) { return n.type == "OwnClassConv"; }))
    masks->second = of_own_class(masks->second, want.at("class_nms"));
  const bool reduced = to_text(after).find("dtype=bfloat16") != std::string::npos;
  for (const auto& [name, tensor] : want) {
    if (!have.contains(name)) return "output " + name + " is gone";
    if (const auto gap = difference(have.at(name), tensor, reduced ? kReducedTolerance : kTolerance); !gap.empty())
      return "output " + name + ' ' + gap;
  }
  return {};
}

// ---- Checks --------------------------------------------------------------------------------------

// What is wrong with this pair; empty: nothing.
std::string fault_of(const Pass& pass, const Pair& pair) {
  const Graph before = parse_graph(pair.before);
  verify(before);
  Graph graph = parse_graph(pair.before);  // constants of its own: a pass may write to them
  int places = 0;
  try {
    places = pass.run(graph, {});
  } catch (const Error& e) {
    if (!pair.error) throw;
    return std::string(e.what()).find(*pair.error) != std::string::npos ? "" : join("threw '", e.what(), "'");
  }
  if (pair.error) return "nothing was thrown";
  const std::string text = to_text(graph);
  if (pair.must_not_change && (places != 0 || text != to_text(before)))
    return join("changed ", places, " places:\n", text);
  if (pair.after.empty() != pair.must_not_change) return "wanted either `must not change` or `--- becomes`";
  if (!pair.must_not_change && (places == 0 || text != to_text(parse_graph(pair.after))))
    return join("changed ", places, " places, to:\n", text);
  verify(graph);
  (void)infer_types(graph);
  if (const int again = pass.run(graph, {}); again != 0 || to_text(graph) != text)
    return join("a second run changed ", again, " places, to:\n", to_text(graph));
  return difference_in_numbers(before, graph);
}

std::string fault_or_error(const Pass& pass, const Pair& pair) {
  try {
    return fault_of(pass, pair);
  } catch (const std::exception& e) {
    return join("threw '", e.what(), "'");
  }
}

Pass pass_of(const fs::path& file) {
  const auto pass = find_pass(file.stem().string());
  check(pass.has_value(), file.string(), ": there is no pass '", file.stem().string(), "'");
  return *pass;
}

std::vector<Pair> read_pairs(const fs::path& file) {
  std::ifstream in(file);
  check(in.good(), "cannot read ", file.string());
  return with_context([&] { return file.string(); },
                      [&] {
                        auto pairs = parse_pairs(in);
                        check(!pairs.empty(), "there are no graphs in it");
                        return pairs;
                      });
}

int test(const std::vector<fs::path>& files) {
  std::size_t count = 0;
  int failures = 0;
  for (const auto& file : files) {
    const Pass pass = pass_of(file);
    for (const auto& pair : read_pairs(file)) {
      ++count;
      const auto fault = fault_or_error(pass, pair);
      if (fault.empty()) continue;
      ++failures;
      std::cerr << "FAIL " << pair.heading << ": " << fault << "\n  reproduce: pass_test " << file.string() << '\n';
    }
  }
  std::cout << count << " graphs, " << failures << " failures\n";
  return failures != 0 || count == 0 ? 1 : 0;  // nothing collected is a failure
}

void print(const fs::path& file) {
  const Pass pass = pass_of(file);
  for (const auto& pair : read_pairs(file)) {
    Graph graph = parse_graph(pair.before);
    std::cout << "=== " << pair.heading << '\n';
    try {
      pass.run(graph, {});
      std::cout << to_text(graph) << '\n';
    } catch (const Error& e) {
      std::cout << "--- error: " << e.what() << "\n\n";
    }
  }
}

int check_complete(const fs::path& folder) {
  int failures = 0, count = 0;
  const auto complain = [&](const std::string& what) {
    ++failures;
    std::cerr << "FAIL " << what << '\n';
  };
  for (const auto& passes : {import_passes(), optimize_passes(DType::bfloat16, true)})
    for (const auto& pass : passes) {
      ++count;
      if (const auto file = folder / (pass.name + ".net"); !fs::exists(file))
        complain("pass " + pass.name + " has no tests: write " + file.string());
    }
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() != ".net" || !find_pass(entry.path().stem().string()))
      complain(entry.path().string() + " is not the .net file of a pass");
  std::cout << count << " passes, " << failures << " failures\n";
  return failures != 0 || count == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 2 && words[0] == "--complete") return check_complete(words[1]);
  if (words.size() == 2 && words[0] == "--print") {
    print(words[1]);
    return 0;
  }
  return test({words.begin(), words.end()});
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 2;
}
