// A graph as bytes, for the cache.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "graph/graph.h"
#include "io/bytes.h"

namespace d2deploy {

/// Numbers, texts and what is made of them, one behind the other.
class ByteWriter {
 public:
  void integer(std::int64_t value);
  void real(float value);
  void text(std::string_view value);
  void texts(const std::vector<std::string>& list);
  void type(const TensorType& type);
  void args(const Args& args);

  std::string bytes;
};

/// Reads them back. Each throws InvalidModel where that is not what stands there.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : rest_(bytes) {}

  std::int64_t integer();
  float real();
  std::string text();
  std::vector<std::string> texts();
  TensorType type();
  Args args();
  /// How many entries follow.
  std::size_t count();

 private:
  void take(void* to, std::size_t bytes);

  Bytes rest_;
};

/// All but the values of constants.
void write_graph(ByteWriter& writer, const Graph& graph);
/// `constants` has the types of the graph's, by name.
Graph read_graph(ByteReader& reader, std::map<std::string, TensorType>& constants);

}  // namespace d2deploy
