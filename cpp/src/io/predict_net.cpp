#include "io/predict_net.h"

#include "io/arguments.h"
#include "io/faults.h"

namespace d2deploy {

namespace {

// A graph without weights takes tens of kilobytes. In memory it can be forty times as large as in the file.
constexpr std::size_t kMostBytes = std::size_t{16} << 20;
// The arguments of the net itself are kept for as long as the model, twice. A list of names takes tens of kilobytes.
constexpr std::size_t kMostAttributeBytes = std::size_t{1} << 20;

void check_net(const NetIndex& net) {
  Faults faults;
  if (net.bytes.size() > kMostBytes)
    faults.add("is ", net.bytes.size(), " bytes long, at most ", kMostBytes,
               " are read of a predict net; weights belong into the init net");
  if (net.operators.empty()) faults.add("has no operators");
  if (net.external_outputs.empty()) faults.add("has no external outputs, so there is nothing to compute");
  faults.throw_if_any<InvalidModel>(net.file);
  // Orders of execution that are allowed to differ, but need not, from that in the file.
  const bool in_order = net.type.empty() || net.type == "simple" || net.type == "dag" || net.type.starts_with("async_");
  check<Unsupported>(in_order, net.file, ": net type ", in_quotes(net.type),
                     " is not supported; known: simple, dag, async_scheduling");
}

Node read_node(const NetIndex& net, std::size_t index, const Log& log) {
  const OperatorHead& op = net.operators[index];
  proto::OperatorDef def;
  parse(def, op.bytes);
  Node node;
  node.type = op.type;
  node.args = read_arguments(def.arg(), net.file + ": " + describe(net, index), log);
  node.inputs.assign(op.inputs.begin(), op.inputs.end());
  node.outputs.assign(op.outputs.begin(), op.outputs.end());
  node.origin = static_cast<std::int64_t>(index);
  return node;
}

Args read_attributes(const NetIndex& net, const Log& log) {
  std::size_t bytes = 0;
  for (const Bytes argument : net.arguments) bytes += argument.size();
  check<InvalidModel>(bytes <= kMostAttributeBytes, "arguments take ", bytes, " bytes, at most ", kMostAttributeBytes,
                      " are read; weights belong into the init net");
  ArgumentList list;
  for (const Bytes argument : net.arguments) parse(*list.Add(), argument);
  return read_arguments(list, net.file, log);
}

}  // namespace

Graph read_predict_net(const NetIndex& net, const ReadOptions& options) {
  check_net(net);
  Graph graph;
  graph.name = net.name;
  graph.inputs.assign(net.external_inputs.begin(), net.external_inputs.end());
  graph.outputs.assign(net.external_outputs.begin(), net.external_outputs.end());
  Faults faults;
  for (std::size_t i = 0; i < net.operators.size(); ++i) {
    with_context([&] { return net.file + ": " + describe(net, i); },
                 [&] {
                   try {
                     graph.nodes.push_back(read_node(net, i, options.log));
                   } catch (const InvalidModel& e) {
                     faults.add(describe(net, i), ": ", e.what());
                   }
                 });
  }
  with_context([&] { return net.file; },
               [&] {
                 try {
                   graph.attributes = read_attributes(net, options.log);
                 } catch (const InvalidModel& e) {
                   faults.add("the net's ", e.what());
                 }
               });
  faults.throw_if_any<InvalidModel>(net.file);
  return graph;
}

}  // namespace d2deploy
