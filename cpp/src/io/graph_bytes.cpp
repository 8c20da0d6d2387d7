#include "io/graph_bytes.h"

#include <cmath>
#include <cstring>

#include "core/check.h"

namespace d2deploy {

void ByteWriter::integer(std::int64_t value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); }

void ByteWriter::real(float value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); }

void ByteWriter::text(std::string_view value) {
  integer(static_cast<std::int64_t>(value.size()));
  bytes += value;
}

void ByteWriter::texts(const std::vector<std::string>& list) {
  integer(static_cast<std::int64_t>(list.size()));
  for (const auto& entry : list) text(entry);
}

void ByteWriter::type(const TensorType& type) {
  integer(static_cast<std::int64_t>(type.dtype));
  integer(static_cast<std::int64_t>(type.layout));
  real(type.scale);
  integer(static_cast<std::int64_t>(type.shape.rank()));
  for (const auto d : type.shape) integer(d);
}

void ByteWriter::args(const Args& args) {
  const auto write = [this]<class T>(const T& value) {
    if constexpr (std::is_same_v<T, std::int64_t>) integer(value);
    if constexpr (std::is_same_v<T, float>) real(value);
    if constexpr (std::is_same_v<T, std::string>) text(value);
    if constexpr (std::is_same_v<T, Strings>) texts(value);
    if constexpr (std::is_same_v<T, Ints> || std::is_same_v<T, Floats>) {
      integer(static_cast<std::int64_t>(value.size()));
      bytes.append(reinterpret_cast<const char*>(value.data()), value.size() * sizeof(value[0]));
    }
  };
  integer(static_cast<std::int64_t>(args.size()));
  for (const auto& [name, arg] : args) {
    text(name);
    integer(static_cast<std::int64_t>(arg.index()));
    std::visit(write, static_cast<const Arg::Variant&>(arg));
  }
}

void ByteReader::take(void* to, std::size_t bytes) {
  check<InvalidModel>(bytes <= rest_.size(), "ends early");
  if (bytes != 0) std::memcpy(to, rest_.data(), bytes);
  rest_ = rest_.subspan(bytes);
}

std::int64_t ByteReader::integer() {
  std::int64_t value = 0;
  take(&value, sizeof value);
  return value;
}

float ByteReader::real() {
  float value = 0;
  take(&value, sizeof value);
  return value;
}

std::size_t ByteReader::count() {
  const std::int64_t value = integer();  // of what takes a byte each at least
  check<InvalidModel>(value >= 0 && static_cast<std::uint64_t>(value) <= rest_.size(), "has a count of ", value);
  return static_cast<std::size_t>(value);
}

std::string ByteReader::text() {
  std::string value(count(), '\0');
  take(value.data(), value.size());
  return value;
}

std::vector<std::string> ByteReader::texts() {
  std::vector<std::string> list;
  for (std::size_t left = count(); left > 0; --left) list.push_back(text());
  return list;
}

TensorType ByteReader::type() {
  const std::int64_t dtype = integer(), layout = integer();
  check<InvalidModel>(dtype >= 0 && dtype <= static_cast<std::int64_t>(DType::boolean), "has element type ", dtype);
  check<InvalidModel>(layout == 0 || layout == 1, "has layout ", layout);
  TensorType type{static_cast<DType>(dtype), {}, static_cast<Layout>(layout), real()};
  check<InvalidModel>(std::isfinite(type.scale) && type.scale >= 0, "has scale ", type.scale);
  const std::int64_t rank = integer();
  check<InvalidModel>(rank >= 0 && rank <= static_cast<std::int64_t>(Shape::kMaxRank), "has rank ", rank);
  check<InvalidModel>(type.layout == Layout::row_major || rank == 4, "has images of rank ", rank);
  for (std::int64_t i = 0; i < rank; ++i) {
    type.shape.push_back(integer());
    check<InvalidModel>(type.shape[type.shape.rank() - 1] >= kUnknown, "has a negative dimension");
  }
  return type;
}

Args ByteReader::args() {
  const auto numbers = [this]<class T>(std::vector<T> list) {
    const std::size_t size = count();
    check<InvalidModel>(size <= rest_.size() / sizeof(T), "ends early");
    list.resize(size);
    take(list.data(), size * sizeof(T));
    return list;
  };
  Args args;
  for (std::size_t left = count(); left > 0; --left) {
    std::string name = text();
    Arg value;
    switch (const std::int64_t kind = integer(); kind) {
      case 0: value = integer(); break;
      case 1: value = real(); break;
      case 2: value = text(); break;
      case 3: value = numbers(Ints()); break;
      case 4: value = numbers(Floats()); break;
      case 5: value = texts(); break;
      default: fail<InvalidModel>("has an argument of kind ", kind);
    }
    args.insert_or_assign(std::move(name), std::move(value));
  }
  return args;
}

void write_graph(ByteWriter& writer, const Graph& graph) {
  writer.text(graph.name);
  writer.texts(graph.inputs);
  writer.texts(graph.outputs);
  for (const auto& input : graph.inputs) writer.type(graph.input_types.at(input));
  writer.args(graph.attributes);
  writer.integer(static_cast<std::int64_t>(graph.constants.size()));
  for (const auto& [name, tensor] : graph.constants) {
    writer.text(name);
    writer.type(tensor.type());
  }
  writer.integer(static_cast<std::int64_t>(graph.nodes.size()));
  for (const Node& node : graph.nodes) {
    writer.text(node.type);
    writer.args(node.args);
    writer.texts(node.inputs);
    writer.texts(node.outputs);
    writer.integer(node.origin);
  }
}

Graph read_graph(ByteReader& reader, std::map<std::string, TensorType>& constants) {
  Graph graph;
  graph.name = reader.text();
  graph.inputs = reader.texts();
  graph.outputs = reader.texts();
  for (const auto& input : graph.inputs) graph.input_types[input] = reader.type();
  graph.attributes = reader.args();
  for (std::size_t left = reader.count(); left > 0; --left) {
    std::string name = reader.text();
    const TensorType type = reader.type();
    (void)type.bytes();  // throws where it has no size
    check<InvalidModel>(constants.emplace(std::move(name), type).second, "has a constant twice");
  }
  for (std::size_t left = reader.count(); left > 0; --left) {
    Node node;
    node.type = reader.text();
    node.args = reader.args();
    node.inputs = reader.texts();
    node.outputs = reader.texts();
    node.origin = reader.integer();
    graph.nodes.push_back(std::move(node));
  }
  return graph;
}

}  // namespace d2deploy
