// A graph's text as the two files of a model.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "net_builder.h"

namespace d2deploy::testing {

/// Removed at the end.
class NetFiles {
 public:
  explicit NetFiles(const std::string& text, const std::vector<NamedArg>& attributes = {}) {
    const Graph graph = parse_graph(text);
    Net net, weights;
    net.inputs(graph.inputs).outputs(graph.outputs);
    for (const NamedArg& attribute : attributes) add(*net.def.add_arg(), attribute.name, attribute.value);
    for (const Node& node : graph.nodes) {
      auto& op = net.add(node.type, node.inputs, node.outputs);
      for (const auto& [argument, value] : node.args) add(*op.add_arg(), argument, value);
    }
    for (const auto& [blob, tensor] : graph.constants) {
      net.inputs({blob});
      weights.weight(blob, Ints(tensor.shape().begin(), tensor.shape().end()),
                     Floats(tensor.values<float>().begin(), tensor.values<float>().end()));
    }
    std::ofstream(predict, std::ios::binary) << net.bytes();
    std::ofstream(init, std::ios::binary) << weights.bytes();
  }
  ~NetFiles() { std::filesystem::remove_all(folder); }
  NetFiles(const NetFiles&) = delete;
  NetFiles& operator=(const NetFiles&) = delete;

 private:
  static void add(proto::Argument& out, const std::string& name, const Arg& value) {
    out.set_name(name);
    set_value(out, value);
  }
  static std::filesystem::path new_folder() {
    std::string name = ::testing::TempDir() + "net_files-XXXXXX";
    return mkdtemp(name.data()) == nullptr ? "" : name;
  }

 public:
  const std::filesystem::path folder = new_folder(), predict = folder / "model.pb", init = folder / "model_init.pb";
};

}  // namespace d2deploy::testing
