#include "io/net_index.h"

#include <algorithm>
#include <set>

#include "graph/graph.h"
#include "io/faults.h"
#include "io/file_kind.h"
#include "io/wire.h"

namespace d2deploy {

namespace {

// Far above any real net (a few hundred operators, a dozen arguments), low enough that the index of a hostile file,
// which can have a part per two bytes, stays small.
constexpr std::size_t kMostOperators = 100'000, kMostArguments = 1'000, kMostNames = 10'000, kMostExternals = 200'000;

Bytes payload(const WireField& field, const char* what) {
  check<InvalidModel>(field.type == WireType::length, "the ", what,
                      " is a number: damaged, or something else than a net");
  return field.payload;
}

std::string_view text(const WireField& field, const char* what) { return as_text(payload(field, what)); }

template <class T>
void append(std::vector<T>& list, T item, std::size_t most, const char* what) {
  check<InvalidModel>(list.size() < most, "more than ", most, ' ', what);
  list.push_back(item);
}

OperatorHead read_head(Bytes file, Bytes bytes) {
  OperatorHead head{bytes, {}, {}, {}};
  std::size_t arguments = 0;
  for (WireReader reader(file, bytes, "operator"); !reader.done();) {
    const WireField field = reader.next();
    switch (field.number) {
      case 1: append(head.inputs, text(field, "name of an input"), kMostNames, "inputs"); break;
      case 2: append(head.outputs, text(field, "name of an output"), kMostNames, "outputs"); break;
      case 4: head.type = text(field, "operator type"); break;
      case 5:
        (void)payload(field, "argument");
        check<InvalidModel>(++arguments <= kMostArguments, "more than ", kMostArguments, " arguments");
        break;
      default: break;  // name, device, engine: without meaning here
    }
  }
  return head;
}

void read_field(NetIndex& net, const WireField& field) {
  switch (field.number) {
    case 1: net.name = text(field, "net's name"); break;
    case 2:
      check<InvalidModel>(net.operators.size() < kMostOperators, "more than ", kMostOperators, " operators");
      net.operators.push_back(with_context([&] { return join("node ", net.operators.size()); },
                                           [&] { return read_head(net.bytes, payload(field, "operator")); }));
      break;
    case 3: net.type = text(field, "net's type"); break;
    case 6: append(net.arguments, payload(field, "net's argument"), kMostArguments, "arguments of the net"); break;
    case 7: append(net.external_inputs, text(field, "external input"), kMostExternals, "external inputs"); break;
    case 8: append(net.external_outputs, text(field, "external output"), kMostExternals, "external outputs"); break;
    default: break;  // device, workers, partitions: without meaning here
  }
}

void check_head(const OperatorHead& op) {
  check<InvalidModel>(!op.type.empty(), "the operator has no type");
  check_name(op.type, "the operator's type");
  for (std::size_t i = 0; i < op.inputs.size(); ++i) check_name(op.inputs[i], "input ", i);
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    check_name(op.outputs[i], "output ", i);
    if (!seen.insert(op.outputs[i]).second) fail<InvalidModel>("has output ", in_quotes(op.outputs[i]), " twice");
  }
}

void check_externals(const std::vector<std::string_view>& names, const char* what, Faults& faults) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < names.size(); ++i) {
    try {
      check_name(names[i], what, ' ', i);
      if (!seen.insert(names[i]).second) fail<InvalidModel>(what, ' ', in_quotes(names[i]), " is listed twice");
    } catch (const InvalidModel& e) {
      faults.add(e.what());
    }
  }
}

// Names of blobs, operators and externals, all faults at once.
void check_names(const NetIndex& net) {
  Faults faults;
  for (std::size_t i = 0; i < net.operators.size(); ++i) {
    try {
      check_head(net.operators[i]);
    } catch (const InvalidModel& e) {
      faults.add("node ", i, ' ', in_quotes(net.operators[i].type), ": ", e.what());
    }
  }
  check_externals(net.external_inputs, "external input", faults);
  check_externals(net.external_outputs, "external output", faults);
  faults.throw_if_any<InvalidModel>(net.file);
}

bool sets_a_value(const OperatorHead& op) { return op.type.ends_with("Fill") || op.type.starts_with("Copy"); }
bool only_fills(const NetIndex& net) {
  return !net.operators.empty() && std::ranges::all_of(net.operators, sets_a_value);
}

// Reads something from outside, and computes.
bool looks_like_predict_net(const NetIndex& net) {
  return !net.external_inputs.empty() && !net.operators.empty() && !only_fills(net);
}

}  // namespace

NetIndex index_net(Bytes bytes, const std::string& file) {
  constexpr std::string_view kWanted = ", wanted a Caffe2 net such as model.pb or model_init.pb";
  check<InvalidModel>(!bytes.empty(), file, ": is empty", kWanted);
  if (const auto kind = foreign_kind(bytes); !kind.empty()) {
    const auto way_out = kind.find("; ");
    fail<InvalidModel>(file, ": is ", kind.substr(0, way_out), kWanted,
                       way_out == kind.npos ? "" : kind.substr(way_out));
  }
  NetIndex net;
  net.file = file;
  net.bytes = bytes;
  with_context([&] { return file; },
               [&] {
                 for (WireReader reader(bytes, bytes, "file"); !reader.done();) read_field(net, reader.next());
               });
  check_names(net);
  return net;
}

std::string describe(const NetIndex& net, std::size_t index) {
  const OperatorHead& op = net.operators[index];
  Node node;
  node.type = op.type;
  if (!op.outputs.empty()) node.outputs.emplace_back(op.outputs[0]);
  node.origin = static_cast<std::int64_t>(index);
  return describe(node);
}

void check_roles(const NetIndex& predict, const NetIndex& init) {
  check(predict.bytes.data() != init.bytes.data(), predict.file,
        ": was given as predict net and as init net; give model.pb as predict net and model_init.pb as init net");
  const bool predict_fills = only_fills(predict), init_computes = looks_like_predict_net(init);
  if (predict_fills && init_computes)
    fail<InvalidArgument>("the two nets look swapped: ", predict.file,
                          ", given as predict net, holds only weights, and ", init.file,
                          ", given as init net, computes; give them the other way round");
  check(!predict_fills, predict.file, ": was given as predict net but holds only weights (", predict.operators.size(),
        predict.operators.size() == 1 ? " fill" : " fills",
        "): it looks like an init net; give model.pb as predict net");
  check(!init_computes, init.file, ": was given as init net but computes (",
        init.operators.empty() ? "" : describe(init, 0), ", external input ",
        init.external_inputs.empty() ? "" : in_quotes(init.external_inputs[0]),
        "): it looks like a predict net; give model_init.pb as init net");
}

}  // namespace d2deploy
