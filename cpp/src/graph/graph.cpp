#include "graph/graph.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "core/check.h"
#include "core/text.h"

namespace d2deploy {

namespace {

Shape parse_dims(std::string_view text) {
  Shape shape;
  if (text == "scalar") return shape;
  for (const auto d : split(text, 'x')) shape.push_back(d == "?" ? kUnknown : parse_int(d));
  return shape;
}

std::string dims_text(const Shape& shape) {
  if (shape.rank() == 0) return "scalar";
  std::string text;
  for (const auto d : shape) text += (text.empty() ? "" : "x") + (d == kUnknown ? "?" : std::to_string(d));
  return text;
}

template <class T>
void fill(Tensor& tensor, const std::vector<std::string_view>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if constexpr (std::is_same_v<T, float>)
      tensor.data<T>()[i] = parse_float(values[i]);
    else
      tensor.data<T>()[i] = static_cast<T>(parse_int(values[i]));
  }
}

template <class F>
void for_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f(float{});
    case DType::int32: return f(std::int32_t{});
    case DType::int64: return f(std::int64_t{});
    case DType::uint8: return f(std::uint8_t{});
    case DType::boolean: return f(bool{});
  }
}

TensorType parse_type(const std::vector<std::string_view>& words) {
  check<InvalidModel>(words.size() >= 4, "wanted 'name dtype dims'");
  TensorType type;
  check<InvalidModel>(parse(words[2], type.dtype), "'", words[2], "' is no element type");
  type.shape = parse_dims(words[3]);
  if (words.size() > 4 && words[4] == "channels_last") type.layout = Layout::channels_last;
  return type;
}

void parse_constant(Graph& graph, const std::vector<std::string_view>& words) {
  const TensorType type = parse_type(words);
  Tensor tensor = Tensor::allocate(type);
  std::memset(tensor.raw(), 0, static_cast<std::size_t>(type.bytes()));
  const auto mark = std::ranges::find(words, "=");
  if (mark != words.end()) {
    const std::vector<std::string_view> values(mark + 1, words.end());
    check<InvalidModel>(static_cast<std::int64_t>(values.size()) == type.shape.size(), values.size(),
                        " values for shape ", type.shape);
    for_dtype(type.dtype, [&](auto zero) { fill<decltype(zero)>(tensor, values); });
  }
  graph.constants[std::string(words[1])] = tensor;
}

Node parse_node(std::string_view line) {
  const auto brace = line.find('{');
  const std::string_view call = line.substr(0, brace);
  const auto eq = call.find('='), open = call.find('('), close = call.rfind(')');
  check<InvalidModel>(
      eq != std::string_view::npos && open != std::string_view::npos && close != std::string_view::npos && eq < open,
      "wanted 'y = Type(x, ...) {name=value ...}'");
  Node node;
  for (const auto y : split(call.substr(0, eq), ',')) node.outputs.emplace_back(y);
  node.type = strip(call.substr(eq + 1, open - eq - 1));
  for (const auto x : split(call.substr(open + 1, close - open - 1), ',')) node.inputs.emplace_back(x);
  if (brace == std::string_view::npos) return node;
  check<InvalidModel>(line.ends_with('}'), "'{' without '}' at the end");
  std::string_view args = strip(line.substr(brace + 1, line.size() - brace - 2));
  if (args.starts_with('*')) {  // patterns: carry all arguments over
    node.args["*"] = std::int64_t{0};
    args.remove_prefix(1);
  }
  node.args.merge(parse_args(args));
  return node;
}

void parse_line(Graph& graph, std::string_view line) {
  const auto words = split(line, ' ');
  if (words[0] == "input") {
    graph.inputs.emplace_back(words.at(1));
    graph.input_types[std::string(words[1])] = parse_type(words);
  } else if (words[0] == "const") {
    parse_constant(graph, words);
  } else if (words[0] == "output") {
    for (std::size_t i = 1; i < words.size(); ++i) graph.outputs.emplace_back(words[i]);
  } else {
    graph.nodes.push_back(parse_node(line));
  }
}

std::string type_text(const TensorType& type) {
  return join(type.dtype, ' ', dims_text(type.shape), type.layout == Layout::channels_last ? " channels_last" : "");
}

void write_values(std::ostream& os, const Tensor& tensor) {
  constexpr std::int64_t kMost = 64;
  if (tensor.size() > kMost) return;
  os << " =";
  for_dtype(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (const auto v : tensor.values<T>()) {
      if constexpr (std::is_same_v<T, float>)
        os << ' ' << to_text(v);
      else
        os << ' ' << static_cast<std::int64_t>(v);
    }
  });
}

}  // namespace

Graph parse_graph(std::string_view text) {
  Graph graph;
  std::istringstream in{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const auto stripped = strip(line);
    if (stripped.empty() || stripped.front() == '#') continue;
    with_context([&] { return join("line ", number, " '", stripped, "'"); }, [&] { parse_line(graph, stripped); });
  }
  return graph;
}

std::string to_text(const Node& node) {
  std::string text = list_of(node.outputs) + " = " + node.type + '(' + list_of(node.inputs) + ')';
  return node.args.empty() ? text : text + ' ' + to_text(node.args);
}

std::string to_text(const Graph& graph) {
  std::ostringstream os;
  for (const auto& name : graph.inputs) os << "input " << name << ' ' << type_text(graph.input_types.at(name)) << '\n';
  for (const auto& [name, tensor] : graph.constants) {
    os << "const " << name << ' ' << type_text(tensor.type());
    write_values(os, tensor);
    os << '\n';
  }
  for (const auto& node : graph.nodes) os << to_text(node) << '\n';
  for (const auto& name : graph.outputs) os << "output " << name << '\n';
  return os.str();
}

std::string describe(const Node& node) {
  const std::string target = node.type + (node.outputs.empty() ? "" : " -> " + node.outputs[0]);
  return node.origin < 0 ? "node (" + target + ")" : "node " + std::to_string(node.origin) + " (" + target + ")";
}

void verify(const Graph& graph) {
  std::set<std::string> known(graph.inputs.begin(), graph.inputs.end());
  check<InvalidModel>(known.size() == graph.inputs.size(), "an input is listed twice");
  for (const auto& [name, tensor] : graph.constants)
    check<InvalidModel>(known.insert(name).second, "'", name, "' is both an input and a constant");
  for (const auto& node : graph.nodes) {
    for (const auto& x : node.inputs)
      check<InvalidModel>(known.contains(x), describe(node), ": input '", x, "' is used before it is assigned");
    for (const auto& y : node.outputs)
      check<InvalidModel>(known.insert(y).second, describe(node), ": '", y, "' is assigned twice");
  }
  for (const auto& y : graph.outputs) check<InvalidModel>(known.contains(y), "output '", y, "' is never assigned");
}

Uses::Uses(const Graph& graph) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const auto& x : graph.nodes[i].inputs) entries_[x].readers.push_back(i);
    for (const auto& y : graph.nodes[i].outputs) entries_[y].producer = static_cast<std::int64_t>(i);
  }
  for (const auto& y : graph.outputs) entries_[y].output = true;
}

std::int64_t Uses::producer(const std::string& value) const {
  const auto it = entries_.find(value);
  return it == entries_.end() ? -1 : it->second.producer;
}

const std::vector<std::size_t>& Uses::readers(const std::string& value) const {
  static const std::vector<std::size_t> nobody;
  const auto it = entries_.find(value);
  return it == entries_.end() ? nobody : it->second.readers;
}

bool Uses::is_output(const std::string& value) const {
  const auto it = entries_.find(value);
  return it != entries_.end() && it->second.output;
}

void replace_uses(Graph& graph, const std::string& from, const std::string& to) {
  for (auto& node : graph.nodes) std::ranges::replace(node.inputs, from, to);
  std::ranges::replace(graph.outputs, from, to);
}

UnusedNames::UnusedNames(const Graph& graph) : used_(graph.inputs.begin(), graph.inputs.end()) {
  for (const auto& [name, tensor] : graph.constants) used_.insert(name);
  for (const auto& node : graph.nodes) used_.insert(node.outputs.begin(), node.outputs.end());
}

std::string UnusedNames::make(const std::string& base) {
  std::string name = base;
  for (int i = 1; !used_.insert(name).second; ++i) name = base + '_' + std::to_string(i);
  return name;
}

std::string unused_name(const Graph& graph, const std::string& base) { return UnusedNames(graph).make(base); }

}  // namespace d2deploy
