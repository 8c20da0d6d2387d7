// Graphs from text, run as models; and the same by the portable kernels one after the other, to compare with.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "graph/graph.h"
#include "message_of.h"
#include "operators/evaluate.h"
#include "runtime/model.h"

namespace d2deploy {

inline std::shared_ptr<const Model> model_of(const std::string& text, const ModelOptions& options = {}) {
  return Model::Impl::make(parse_graph(text), options);
}

/// Float values in [-1, 1), the same for the same seed.
inline Tensor noise(const Shape& shape, unsigned seed = 1) {
  std::mt19937 random(seed);
  Tensor t = Tensor::allocate(f32(shape));
  for (std::int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = static_cast<float>(random() >> 8) * 0x1p-23F - 1.0F;
  return t;
}

/// What the graph means: every node by its portable kernel, in memory of its own.
inline Tensors outputs_by_evaluation(const Graph& graph, const Tensors& inputs) {
  Tensors values = inputs;
  for (const auto& [name, tensor] : graph.constants) values[name] = tensor;
  for (const Node& node : graph.nodes) {
    std::vector<Tensor> in;
    for (const auto& x : node.inputs) in.push_back(values.at(x));
    const auto out = evaluate(*find_operator(node.type), node.args, in);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) values[node.outputs[i]] = out.at(i);
  }
  Tensors outputs;
  for (const auto& y : graph.outputs) outputs[y] = values.at(y);
  return outputs;
}
inline Tensors outputs_by_evaluation(const std::string& text, const Tensors& inputs) {
  return outputs_by_evaluation(parse_graph(text), inputs);
}

inline Tensors cloned(const Tensors& tensors) {
  Tensors out;
  for (const auto& [name, tensor] : tensors) out[name] = tensor.clone();
  return out;
}

inline bool same_bits(const Tensors& a, const Tensors& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.type() == y.second.type() &&
           std::memcmp(x.second.raw(), y.second.raw(), static_cast<std::size_t>(x.second.bytes())) == 0;
  });
}

/// The first value that differs by more than a few hundred roundings of values near 1; kernels sum in other orders.
inline std::string difference(const Tensors& have, const Tensors& want) {
  constexpr float kTolerance = 256 * std::numeric_limits<float>::epsilon();
  if (have.size() != want.size()) return join(have.size(), " outputs, wanted ", want.size());
  for (const auto& [name, w] : want) {
    if (!have.contains(name)) return name + " is missing";
    const Tensor& h = have.at(name);
    if (h.type() != w.type()) return join(name, " is ", h.shape(), ", wanted ", w.shape());
    for (std::int64_t i = 0; i < w.size(); ++i) {
      const float a = h.data<float>()[i], b = w.data<float>()[i];
      if (!(std::fabs(a - b) <= kTolerance * std::max(1.0F, std::fabs(b))))
        return join(name, " is ", a, " at element ", i, ", wanted ", b);
    }
  }
  return {};
}

/// The kernel that the profile names for the operator of this type; empty where there is none.
inline std::string kernel_of(const Session& session, const std::string& type) {
  for (const auto& node : session.profile())
    if (node.type == type) return node.kernel;
  return {};
}

}  // namespace d2deploy
