#include "graph/graph.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "core/check.h"
#include "core/element_type.h"
#include "core/text.h"

namespace d2deploy {

namespace {

Shape parse_dims(std::string_view text) {
  Shape shape;
  if (text == "scalar") return shape;
  for (const auto d : split(text, 'x')) {
    shape.push_back(d == "?" ? kUnknown : parse_int(d));
    check(d == "?" || shape[shape.rank() - 1] >= 0, "dimension ", d, " must be 0 or more, or ? where it is not known");
  }
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
    if constexpr (kReal<T>) {
      tensor.data<T>()[i] = static_cast<T>(parse_float(values[i]));
    } else {
      const std::int64_t value = parse_int(values[i]);
      tensor.data<T>()[i] = static_cast<T>(value);
      check(static_cast<std::int64_t>(tensor.data<T>()[i]) == value, value, " does not fit into ", tensor.dtype());
    }
  }
}

// Of "input name dtype dims [channels_last]", with which `words` must end.
TensorType parse_type(std::span<const std::string_view> words) {
  check(words.size() >= 4, "wanted 'name dtype dims'");
  TensorType type;
  check(parse(words[2], type.dtype), "'", words[2], "' is not an element type");
  type.shape = parse_dims(words[3]);
  if (words.size() == 4) return type;
  check(words.size() == 5 && words[4] == name(Layout::channels_last), "'", words.back(),
        "' is not known behind the dims");
  check(type.shape.rank() == 4, "only tensors of rank 4 can be channels_last");
  type.layout = Layout::channels_last;
  return type;
}

void parse_constant(Graph& graph, const std::vector<std::string_view>& words) {
  const auto mark = std::ranges::find(words, "=");
  const TensorType type = parse_type({words.begin(), mark});
  Tensor tensor = Tensor::allocate(type);
  std::memset(tensor.raw(), 0, static_cast<std::size_t>(type.bytes()));
  if (mark != words.end()) {
    const std::vector<std::string_view> values(mark + 1, words.end());
    check(static_cast<std::int64_t>(values.size()) == type.shape.size(), values.size(), " values for shape ",
          type.shape);
    with_element_type(type.dtype, [&](auto zero) { fill<decltype(zero)>(tensor, values); });
  }
  check(graph.constants.emplace(words[1], tensor).second, "'", words[1], "' is there already");
}

Node parse_node(std::string_view line) {
  const auto brace = line.find('{');
  const std::string_view call = line.substr(0, brace);
  const auto eq = call.find('='), open = call.find('('), close = call.rfind(')');
  const bool has_all = eq < open && open < close && close != std::string_view::npos;
  Node node;
  if (has_all) {
    for (const auto y : split(call.substr(0, eq), ',')) node.outputs.emplace_back(y);
    node.type = strip(call.substr(eq + 1, open - eq - 1));
  }
  check(!node.outputs.empty() && !node.type.empty() && strip(call.substr(close + 1)).empty(),
        "wanted 'y = Type(x, ...) {name=value ...}'");
  for (const auto x : split(call.substr(open + 1, close - open - 1), ',')) node.inputs.emplace_back(x);
  if (brace == std::string_view::npos) return node;
  check(line.ends_with('}'), "'{' without '}' at the end");
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
    const TensorType type = parse_type(words);
    graph.inputs.emplace_back(words[1]);
    graph.input_types[graph.inputs.back()] = type;
  } else if (words[0] == "const") {
    parse_constant(graph, words);
  } else if (words[0] == "output") {
    check(words.size() > 1, "wanted 'output name ...'");
    graph.outputs.insert(graph.outputs.end(), words.begin() + 1, words.end());
  } else {
    graph.nodes.push_back(parse_node(line));
  }
}

std::string type_text(const TensorType& type) {
  return join(type.dtype, ' ', dims_text(type.shape), type.layout == Layout::channels_last ? " channels_last" : "");
}

std::string values_text(const Tensor& tensor) {
  constexpr std::int64_t kMost = 64;
  if (tensor.size() > kMost) return {};
  std::string text = " =";
  with_element_type(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (const auto v : tensor.values<T>()) {
      if constexpr (kReal<T>)
        text += ' ' + to_text(static_cast<float>(v));
      else
        text += ' ' + std::to_string(static_cast<std::int64_t>(v));
    }
  });
  return text;
}

}  // namespace

Graph parse_graph(std::string_view text) {
  Graph graph;
  int number = 0;
  for (const auto whole : lines(text)) {  // a stream would end early where there is no memory for a line
    const auto line = strip(whole);
    ++number;
    if (line.empty() || line.front() == '#') continue;
    try {
      parse_line(graph, line);
    } catch (const DeviceError&) {
      throw;  // lack of memory, not a fault of the text
    } catch (const Error& e) {
      fail<InvalidModel>("line ", number, " '", line, "': ", e.what());
    }
  }
  return graph;
}

std::string to_text(const Node& node) {
  std::string text = list_of(node.outputs) + " = " + node.type + '(' + list_of(node.inputs) + ')';
  return node.args.empty() ? text : text + ' ' + to_text(node.args);
}

std::string to_text(const Graph& graph) {
  std::string text;
  for (const auto& name : graph.inputs) text += join("input ", name, ' ', type_text(graph.input_types.at(name)), '\n');
  for (const auto& [name, tensor] : graph.constants)
    text += join("const ", name, ' ', type_text(tensor.type()), values_text(tensor), '\n');
  for (const auto& node : graph.nodes) text += to_text(node) + '\n';
  for (const auto& name : graph.outputs) text += join("output ", name, '\n');
  return text;
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
      if (!known.contains(x)) fail<InvalidModel>(describe(node), ": input '", x, "' is used before it is assigned");
    for (const auto& y : node.outputs)
      if (!known.insert(y).second) fail<InvalidModel>(describe(node), ": '", y, "' is assigned twice");
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

UnusedNames::UnusedNames(const Graph& graph) : used_(graph.inputs.begin(), graph.inputs.end()) {
  for (const auto& [name, tensor] : graph.constants) used_.insert(name);
  for (const auto& node : graph.nodes) used_.insert(node.outputs.begin(), node.outputs.end());
}

std::string UnusedNames::make(const std::string& base) {
  if (used_.insert(base).second) return base;
  std::size_t& count = counts_[base];
  std::string name;
  do name = base + '_' + std::to_string(++count);
  while (!used_.insert(name).second);
  return name;
}

}  // namespace d2deploy
