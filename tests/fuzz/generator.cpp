#include "generator.h"

#include <algorithm>
#include <optional>

#include "operators/operator.h"
#include "passes/pass.h"

namespace d2deploy::fuzz {

namespace {

constexpr std::size_t kMostNodes = 5000;
constexpr std::int64_t kMostConstantBytes = 4096;

// Sizes at which float32, 32 bits, and products of two or three of them end.
std::int64_t draw_any_dim(Choices& c) {
  constexpr std::int64_t kHuge[] = {0,          16777217,        1 << 24,         46341,     65536,     1 << 20,
                                    2147483647, 1LL << 31,       (1LL << 31) + 1, 1LL << 32, 1LL << 40, 4097,
                                    1290,       (1LL << 62) + 1, 16777216 + 3,    33};
  return c.below(16) == 15 ? kHuge[c.below(std::size(kHuge))] : draw_dim(c);
}

class Generator {
 public:
  explicit Generator(Choices& choices) : c_(choices) {}

  Graph make() {
    const std::size_t steps = 1 + c_.below(24);
    for (std::size_t i = 0; i < steps && graph_.nodes.size() < kMostNodes && !c_.empty(); ++i)
      c_.below(4) == 3 ? repeat_block() : add_node();
    const bool all = c_.below(4) == 3;
    for (const auto& node : graph_.nodes)
      for (const auto& y : node.outputs)
        if (all || &node == &graph_.nodes.back()) graph_.outputs.push_back(y);
    return std::move(graph_);
  }

 private:
  using Symbols = std::map<std::string, std::int64_t>;

  std::string new_name() { return "v" + std::to_string(names_++); }

  // ---- Values ----

  static bool fits(const Port& port, const TensorType& type, Symbols& symbols) {
    if (!port.dtypes.empty() && std::ranges::find(port.dtypes, type.dtype) == port.dtypes.end()) return false;
    if (port.any_shape) return true;
    const std::size_t rank = type.shape.rank();
    if (port.open_ended ? rank < port.dims.size() : rank != port.dims.size()) return false;
    Symbols found = symbols;
    for (std::size_t i = 0; i < port.dims.size(); ++i) {
      const Dim& dim = port.dims[i];
      const std::int64_t size = type.shape[i];
      if (size == kUnknown) continue;
      if (dim.symbol.empty() ? std::ranges::find(dim.alternatives, size) == dim.alternatives.end()
                             : found.emplace(dim.symbol, size).first->second != size)
        return false;
    }
    symbols = found;
    return true;
  }

  // An element type of the port; those at `real` ports are one.
  DType draw_dtype(const Port& port) {
    return port.dtypes.empty() || port.real ? DType::float32 : port.dtypes[c_.below(port.dtypes.size())];
  }

  // One of the latest values that the port takes; nothing where there is none among a few.
  std::optional<std::string> old_value(const Port& port, Symbols& symbols) {
    for (int tries = 0; tries < 3 && !values_.empty(); ++tries) {
      const std::string& value = values_[values_.size() - 1 - c_.below(std::min<std::size_t>(values_.size(), 16))];
      if (fits(port, types_.at(value), symbols)) return value;
    }
    return std::nullopt;
  }

  TensorType draw_type(const Port& port, Symbols& symbols) {
    TensorType type;
    type.dtype = draw_dtype(port);
    if (port.any_shape) {
      constexpr std::size_t kRanks[] = {4, 2, 1, 3, 0, 5, 4, 8};
      const std::size_t rank = kRanks[c_.below(std::size(kRanks))];
      for (std::size_t i = 0; i < rank; ++i) type.shape.push_back(draw_any_dim(c_));
      return type;
    }
    for (const Dim& dim : port.dims) {
      if (dim.symbol.empty()) {
        type.shape.push_back(dim.alternatives[c_.below(dim.alternatives.size())]);
        continue;
      }
      const auto [it, fresh] = symbols.emplace(dim.symbol, 0);
      if (fresh) it->second = draw_any_dim(c_);
      type.shape.push_back(it->second);
    }
    for (std::size_t i = 0, n = port.open_ended ? c_.below(3) : 0; i < n; ++i) type.shape.push_back(draw_any_dim(c_));
    return type;
  }

  // An input of the net, some of whose sizes may be open; or, where it is small, a constant.
  std::string new_value(const Port& port, Symbols& symbols) {
    const std::string name = new_name();
    TensorType type = draw_type(port, symbols);
    const auto bytes = [&] { return type.bytes(); };
    bool small = false;
    try {
      small = bytes() <= kMostConstantBytes;
    } catch (const Error&) {
      // more than 2^63: an input
    }
    if (small && c_.below(2) == 1) {
      Tensor tensor = Tensor::allocate(type);
      c_.fill(tensor);
      graph_.constants[name] = tensor;
    } else {
      for (std::size_t d = 0; d < type.shape.rank(); ++d)
        if (c_.below(8) == 7) type.shape[d] = kUnknown;
      graph_.inputs.push_back(name);
      graph_.input_types[name] = type;
    }
    types_[name] = type;
    values_.push_back(name);
    return name;
  }

  // ---- Nodes ----

  void add_node() {
    const auto& all = operators();
    const Operator& op = std::next(all.begin(), static_cast<std::ptrdiff_t>(c_.below(all.size())))->second;
    if (op.is(internal)) return;
    Node node{op.type, {}, {}, {}};
    Symbols symbols;
    const std::size_t times = c_.below(8) == 7 ? 33 + c_.below(68) : 1 + c_.below(4);
    for (const auto& port : op.inputs) {
      if (port.optional && c_.below(2) == 0) break;
      for (std::size_t k = 0; k < (port.repeated ? times : 1); ++k) {
        auto value = c_.below(4) != 0 ? old_value(port, symbols) : std::nullopt;
        node.inputs.push_back(value ? *value : new_value(port, symbols));
      }
    }
    const auto required = std::ranges::count_if(op.outputs, [](const Port& p) { return !p.optional; });
    const auto optional = static_cast<std::size_t>(std::ssize(op.outputs) - required);
    const bool repeated = std::ranges::any_of(op.outputs, &Port::repeated);
    const std::size_t outputs =
        static_cast<std::size_t>(required) + c_.below(optional + 1) + (repeated ? times - 1 : 0);
    for (std::size_t i = 0; i < outputs; ++i) node.outputs.push_back(new_name());
    for (int tries = 0; tries < 4; ++tries) {
      node.args.clear();
      for (const auto& field : op.fields)
        if (!field.internal && c_.below(4) == 1) node.args[field.name] = sensible_arg(field);
      if (op.type == "Split") node.args["parts"] = static_cast<std::int64_t>(outputs);
      if (add(node)) return;
    }
    if (c_.below(16) == 15) graph_.nodes.push_back(node);  // it does not fit: every path must say so
  }

  Arg sensible_arg(const FieldInfo& field) {
    if (c_.below(4) == 0) return draw_arg(c_, field.type_name);
    if (field.type_name == "int") return static_cast<std::int64_t>(c_.below(4));
    if (field.type_name == "float") return 0.25F * static_cast<float>(1 + c_.below(16));
    if (field.type_name == "ints") return Ints(c_.below(5), static_cast<std::int64_t>(c_.below(4)));
    return draw_arg(c_, field.type_name);
  }

  // False where its types do not fit.
  bool add(const Node& node) {
    try {
      infer_node(graph_, node, types_);
    } catch (const InternalError&) {
      throw;
    } catch (const Error&) {
      return false;
    }
    graph_.nodes.push_back(node);
    values_.insert(values_.end(), node.outputs.begin(), node.outputs.end());
    return true;
  }

  // The last few nodes again, up to thousands of times: each time of the same inputs, or the first input of the block
  // is what the last block made.
  void repeat_block() {
    if (graph_.nodes.empty()) return add_node();
    const std::size_t size = std::min<std::size_t>(graph_.nodes.size(), 1 + c_.below(4));
    const std::vector<Node> block(graph_.nodes.end() - static_cast<std::ptrdiff_t>(size), graph_.nodes.end());
    const bool chain = c_.below(4) != 0;
    const std::size_t times = std::size_t{1} << c_.below(12);
    std::map<std::string, std::string> renamed;
    for (std::size_t i = 0; i < times && graph_.nodes.size() + size <= kMostNodes; ++i) {
      if (chain && !block[0].inputs.empty() && !block.back().outputs.empty()) {
        const auto last = renamed.find(block.back().outputs[0]);
        renamed[block[0].inputs[0]] = last == renamed.end() ? block.back().outputs[0] : last->second;
      }
      for (Node node : block) {
        for (auto& x : node.inputs)
          if (const auto it = renamed.find(x); it != renamed.end()) x = it->second;
        for (auto& y : node.outputs) y = renamed[y] = new_name();
        if (!add(node)) return;
      }
    }
  }

  Choices& c_;
  Graph graph_;
  TypeMap types_;
  std::vector<std::string> values_;  // those of nodes that fit, inputs and constants; the latest last
  std::size_t names_ = 0;
};

}  // namespace

Graph generate_net(Choices& choices) { return Generator(choices).make(); }

}  // namespace d2deploy::fuzz
