// Builds nets for tests, message by message, with protobuf's own writer.
#pragma once
#include <caffe2.pb.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "core/args.h"
#include "io/model_file.h"

namespace d2deploy::testing {

using Names = std::vector<std::string>;

struct NamedArg {
  std::string name;
  Arg value;
};

inline void set_value(proto::Argument& out, const Arg& value) {
  if (const auto* i = std::get_if<std::int64_t>(&value)) out.set_i(*i);
  if (const auto* f = std::get_if<float>(&value)) out.set_f(*f);
  if (const auto* s = std::get_if<std::string>(&value)) out.set_s(*s);
  if (const auto* ints = std::get_if<Ints>(&value)) out.mutable_ints()->Add(ints->begin(), ints->end());
  if (const auto* floats = std::get_if<Floats>(&value)) out.mutable_floats()->Add(floats->begin(), floats->end());
  if (const auto* strings = std::get_if<Strings>(&value))
    for (const auto& s : *strings) out.add_strings(s);
}

struct Net {
  proto::NetDef def;

  proto::OperatorDef& add(const std::string& type, const Names& inputs, const Names& outputs,
                          std::initializer_list<NamedArg> args = {}) {
    proto::OperatorDef& op = *def.add_op();
    op.set_type(type);
    for (const auto& x : inputs) op.add_input(x);
    for (const auto& y : outputs) op.add_output(y);
    for (const auto& a : args) {
      proto::Argument& out = *op.add_arg();
      out.set_name(a.name);
      set_value(out, a.value);
    }
    return op;
  }
  Net& op(const std::string& type, const Names& inputs, const Names& outputs,
          std::initializer_list<NamedArg> args = {}) {
    add(type, inputs, outputs, args);
    return *this;
  }
  Net& inputs(const Names& names) {
    for (const auto& n : names) def.add_external_input(n);
    return *this;
  }
  Net& outputs(const Names& names) {
    for (const auto& n : names) def.add_external_output(n);
    return *this;
  }
  /// A GivenTensorFill.
  Net& weight(const std::string& blob, const Ints& shape, const Floats& values) {
    return op("GivenTensorFill", {}, {blob}, {{"values", values}, {"shape", shape}});
  }
  std::string bytes() const { return def.SerializeAsString(); }
};

inline Graph read(const std::string& predict, const std::string& init, const ReadOptions& options = {}) {
  return read_model({std::as_bytes(std::span(predict)), "model.pb"}, {std::as_bytes(std::span(init)), "model_init.pb"},
                    options);
}
inline Graph read(const Net& predict, const Net& init, const ReadOptions& options = {}) {
  return read(predict.bytes(), init.bytes(), options);
}

/// data -> Mul by w -> y
inline Net small_predict_net() {
  Net net;
  net.op("Mul", {"data", "w"}, {"y"}).inputs({"data", "w"}).outputs({"y"});
  return net;
}
inline Net small_init_net() {
  Net net;
  net.weight("w", {2}, {1, 2});
  return net;
}

}  // namespace d2deploy::testing
