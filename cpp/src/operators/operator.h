// What an operator is. An author writes, in `<op>/<op>.h`, a struct with
//   Params      plain data with the defaults                    (or `using Params = NoParams`)
//   fields      one `field(...)` per argument                   (not with NoParams)
//   signature   type, inputs, outputs, traits                   (signature.h has the port language)
//   infer       output types from input types
//   meaning     fused operators only: the plain operators that it stands for, as text
//   flops       optional: floating point operations of a call
// and, in `<op>/<op>_<backend>.cpp`, a list of kernels. Everything else is derived here.
#pragma once
#include <any>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/args.h"
#include "core/check.h"
#include "core/text.h"
#include "d2deploy/tensor.h"
#include "operators/constant.h"
#include "operators/signature.h"

namespace d2deploy {

// ---- What a definition is written with -----------------------------------------------------------

/// All but `unlimited` keep integers within 32 bits.
enum class Bound { any, non_negative, positive, unlimited };

template <class Params, class T>
struct Field {
  const char* name;
  T Params::*member;
  Bound bound;
  const char* doc;
};
template <class Params, class T>
constexpr Field<Params, T> field(const char* name, T Params::*member, Bound bound, const char* doc) {
  return {name, member, bound, doc};
}

enum Trait : unsigned {
  none = 0,
  spatial = 1,          ///< takes rank-4 inputs in either layout; rank-4 outputs have the first one's
  elementwise = 2,      ///< spatial, and all rank-4 inputs must share one layout
  commutative = 4,      ///< the two inputs may be swapped
  in_place = 8,         ///< every kernel allows output 0 to share the memory of an input of its type
  view = 16,            ///< output 0 is input 0's memory under another shape: a kernel runs only for more outputs
  data_dependent = 32,  ///< how many rows the outputs have is known only after the run; infer gives the most
  own_layout = 64,      ///< infer decides the layout of the outputs
  one_layout = 128,     ///< spatial, and all rank-4 inputs, weights too, must share one layout
};

struct Signature {
  const char* type;  ///< name in the NetDef
  const char* inputs;
  const char* outputs;
  unsigned traits = none;
  const char* aliases = "";  ///< other names in files, separated by spaces
};

struct NoParams {};
using Types = std::vector<TensorType>;

/// What is known of the inputs of a call when types are inferred.
struct Inputs {
  std::span<const TensorType> types;
  std::span<const Tensor* const> values;  ///< null where not known (yet); may be empty

  std::size_t size() const { return types.size(); }
  const Shape& operator[](std::size_t i) const { return types[i].shape; }
  /// The value of input i where it is a constant, else null.
  const Tensor* value(std::size_t i) const { return i < values.size() ? values[i] : nullptr; }
};

/// One call of a kernel. Outputs come with the inferred shape and with memory for it.
struct Call {
  std::span<const Tensor* const> inputs;
  std::span<Tensor* const> outputs;
  void* scratch = nullptr;      ///< as many bytes as `prepare` asked for
  const void* state = nullptr;  ///< what `prepare` made

  const Tensor& input(std::size_t i) const { return *inputs[i]; }
  Tensor& output(std::size_t i) const { return *outputs[i]; }
  bool has_input(std::size_t i) const { return i < inputs.size(); }
  bool has_output(std::size_t i) const { return i < outputs.size(); }
  template <class T>
  const T* in(std::size_t i) const {
    return inputs[i]->data<T>();
  }
  template <class T>
  T* out(std::size_t i) const {
    return outputs[i]->data<T>();
  }
  /// For data-dependent operators: output i has only this many rows.
  void set_rows(std::size_t i, std::int64_t rows) const;
};

/// A call as it is known when it is planned.
struct CallSite {
  std::span<const TensorType> inputs, outputs;
  std::span<Constant* const> constants;  ///< per input, null where it is none
  bool bounded = false;                  ///< the first dimension of inputs and outputs is the most there may be
  int threads = 1;

  bool is_constant(std::size_t i) const { return i < constants.size() && constants[i] != nullptr; }
};

struct Prepared {
  std::shared_ptr<const void> state;  ///< immutable from here on: many sessions share it
  std::size_t scratch_bytes = 0;
  int accumulates = -1;  ///< input that output 0 should share memory with if it can (the kernel copies it there if not)
  std::string detail;    ///< what the kernel chose inside, for profiles
  std::uint32_t packed = 0;  ///< bit i: `run` does not read input i, the state holds it
};

template <class Op>
struct KernelOf {
  using Params = typename Op::Params;
  const char* name;
  std::string (*reject)(const Params&, const CallSite&);  ///< why it cannot take this call; empty: it can
  void (*run)(const Params&, const Call&);
  Prepared (*prepare)(const Params&, const CallSite&) = nullptr;
};
template <class Op>
std::string accepts_all(const typename Op::Params&, const CallSite&) {
  return {};
}

/// Which file a kernel stands in. Listed best first.
enum class Backend { avx512, onednn, cpu };
std::string_view name(Backend backend);

/// The kernels of `<op>_<backend>.cpp`, best first. One specialisation per file.
template <class Op, Backend B>
std::vector<KernelOf<Op>> kernels();

// ---- What everybody else uses --------------------------------------------------------------------

struct Kernel {
  std::string name;
  Backend backend;
  std::function<std::string(const std::any& params, const CallSite&)> reject;
  std::function<void(const std::any& params, const Call&)> run;
  std::function<Prepared(const std::any& params, const CallSite&)> prepare;
};

struct FieldInfo {
  std::string name, type, default_text, doc;
  Bound bound;
};

struct Operator {
  std::string type;
  std::vector<std::string> aliases;
  unsigned traits = none;
  std::vector<Port> inputs, outputs;
  std::vector<FieldInfo> fields;
  std::function<std::any(const Args&)> parse;  ///< throws InvalidModel: unknown name, wrong type, out of bounds
  std::function<Types(const std::any&, const Inputs&)> infer_shapes;
  std::function<std::string(const std::any&, std::size_t inputs)> meaning;  ///< empty text: a plain operator
  std::function<double(const std::any&, const Inputs&, const Types&)> flops;
  std::vector<Kernel> kernels;  ///< best first

  bool is(Trait trait) const { return (traits & trait) != 0; }
};

/// Types of `outputs` outputs, with layouts. Checks the inputs against the signature first.
Types infer(const Operator& op, const std::any& params, const Inputs& inputs, std::size_t outputs);

/// The arguments in `args` that `op` does not know.
std::vector<std::string> unknown_arguments(const Operator& op, const Args& args);

/// All operators by type. Made once, never changed.
const std::map<std::string, Operator, std::less<>>& operators();
/// By type or alias; null where there is none.
const Operator* find_operator(std::string_view type);

/// Element strides of the four logical dimensions.
struct Strides4 {
  std::int64_t n, c, h, w;
};
Strides4 strides4(const TensorType& type);

inline TensorType f32(Shape shape) { return {DType::float32, shape, Layout::row_major}; }
inline TensorType i32(Shape shape) { return {DType::int32, shape, Layout::row_major}; }

// ---- Derivation: nobody else needs to read on ----------------------------------------------------

namespace detail {

template <class T>
constexpr const char* field_type_name() {
  if constexpr (std::is_same_v<T, bool>)
    return "bool";
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return "int";
  else if constexpr (std::is_same_v<T, float>)
    return "float";
  else if constexpr (std::is_same_v<T, std::string>)
    return "string";
  else if constexpr (std::is_same_v<T, Ints>)
    return "ints";
  else if constexpr (std::is_same_v<T, Arg>)
    return "int, float, string or list";
  else
    return "floats";
}

void assign(bool& out, const Arg& arg);
void assign(std::int64_t& out, const Arg& arg);
void assign(float& out, const Arg& arg);
void assign(std::string& out, const Arg& arg);
void assign(Ints& out, const Arg& arg);
void assign(Floats& out, const Arg& arg);
void assign(Arg& out, const Arg& arg);  // the operator says what it takes

void check_bound(std::int64_t value, Bound bound);
void check_bound(float value, Bound bound);
template <class T>
void check_bounds(const T& value, Bound bound) {
  if constexpr (std::is_same_v<T, Ints> || std::is_same_v<T, Floats>)
    for (const auto v : value) check_bound(v, bound);
  else if constexpr (std::is_same_v<T, std::int64_t> || std::is_same_v<T, float>)
    check_bound(value, bound);
}

[[noreturn]] void fail_unknown(const char* type, const std::string& name, const std::vector<std::string>& known);

template <class Op>
std::any parse(const Args& args) {
  typename Op::Params p;
  std::vector<std::string> known;
  if constexpr (!std::is_same_v<typename Op::Params, NoParams>)
    std::apply(
        [&](const auto&... f) {
          (
              [&] {
                known.emplace_back(f.name);
                const auto it = args.find(f.name);
                if (it == args.end()) return;
                try {
                  assign(p.*f.member, it->second);
                  check_bounds(p.*f.member, f.bound);
                } catch (const InvalidModel& e) {
                  fail<InvalidModel>(Op::signature.type, ": argument '", f.name, "' is ", to_text(it->second),
                                     ", must be ", e.what(), " (", f.doc, ")");
                }
              }(),
              ...);
        },
        Op::fields);
  for (const auto& [key, value] : args)
    if (std::find(known.begin(), known.end(), key) == known.end()) fail_unknown(Op::signature.type, key, known);
  return p;
}

template <class Op>
std::vector<FieldInfo> describe_fields() {
  std::vector<FieldInfo> out;
  if constexpr (!std::is_same_v<typename Op::Params, NoParams>) {
    const typename Op::Params defaults{};
    std::apply(
        [&](const auto&... f) {
          (
              [&] {
                const auto& value = defaults.*f.member;
                using T = std::remove_cvref_t<decltype(value)>;
                Arg arg;
                if constexpr (std::is_same_v<T, bool>)
                  arg = static_cast<std::int64_t>(value);
                else
                  arg = value;
                out.push_back({f.name, field_type_name<T>(), to_text(arg), f.doc, f.bound});
              }(),
              ...);
        },
        Op::fields);
  }
  return out;
}

template <class Op>
std::string meaning_of(const std::any& params, std::size_t inputs) {
  if constexpr (requires(const typename Op::Params& p) { Op::meaning(p, inputs); })
    return Op::meaning(std::any_cast<const typename Op::Params&>(params), inputs);
  else if constexpr (requires { std::string(Op::meaning); })
    return Op::meaning;
  else
    return {};
}

template <class Op>
double flops_of(const std::any& params, const Inputs& in, const Types& out) {
  if constexpr (requires(const typename Op::Params& p) { Op::flops(p, in, out); })
    return Op::flops(std::any_cast<const typename Op::Params&>(params), in, out);
  else
    return 0;
}

template <class Op, Backend B>
void add_kernels(std::vector<Kernel>& out) {
  using Params = typename Op::Params;
  for (const KernelOf<Op>& k : kernels<Op, B>())
    out.push_back(
        {k.name, B,
         [k](const std::any& p, const CallSite& site) { return k.reject(std::any_cast<const Params&>(p), site); },
         [k](const std::any& p, const Call& call) { k.run(std::any_cast<const Params&>(p), call); },
         [k](const std::any& p, const CallSite& site) {
           return k.prepare ? k.prepare(std::any_cast<const Params&>(p), site) : Prepared{};
         }});
}

std::vector<std::string> words(const char* text);

template <class Op, Backend... Bs>
Operator make() {
  Operator op;
  op.type = Op::signature.type;
  op.aliases = words(Op::signature.aliases);
  op.traits = Op::signature.traits;
  op.inputs = parse_ports(Op::signature.inputs);
  op.outputs = parse_ports(Op::signature.outputs);
  op.fields = describe_fields<Op>();
  op.parse = &parse<Op>;
  op.infer_shapes = [](const std::any& p, const Inputs& in) {
    return Op::infer(std::any_cast<const typename Op::Params&>(p), in);
  };
  op.meaning = &meaning_of<Op>;
  op.flops = &flops_of<Op>;
  (add_kernels<Op, Bs>(op.kernels), ...);
  return op;
}

}  // namespace detail
}  // namespace d2deploy
