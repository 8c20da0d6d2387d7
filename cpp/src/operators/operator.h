// What an operator is. An author writes, in `<op>/<op>.h`, a struct with
//   Params      plain data with the defaults                    (or `using Params = NoParams`)
//   fields      one `field<&Params::x>(...)` per argument       (not with NoParams)
//   signature   type, inputs, outputs, layout rule, traits      (signature.h has the port language)
//   infer       output types from input types
//   meaning     fused operators only: the plain operators that it stands for, as text
//   flops       optional: floating point operations of a call
// and, in `<op>/<op>_<backend>.cpp`, a list of kernels. Everything else is derived here.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/args.h"
#include "core/check.h"
#include "core/text.h"
#include "d2deploy/tensor.h"
#include "operators/constant.h"
#include "operators/field.h"
#include "operators/signature.h"

namespace d2deploy {

// ---- What a definition is written with -----------------------------------------------------------

/// Which layouts the rank-4 inputs of an operator may have, and which one its rank-4 outputs get.
enum class LayoutRule {
  row_major,  ///< row-major only
  any,        ///< either; outputs have the first input's. Asks for channels-last where it can be had
  same,       ///< as `any`, but all rank-4 inputs, weights too, share one
  follow,     ///< all rank-4 inputs share one, and the outputs have it. Takes what comes
  own,        ///< infer decides
};

enum Trait : unsigned {
  none = 0,
  commutative = 1,     ///< the two inputs may be swapped
  in_place = 2,        ///< every kernel allows output 0 to share the memory of an input of its type
  view = 4,            ///< output 0 is input 0's memory under another shape: a kernel runs only for more outputs
  heavy = 16,          ///< takes most of a net's time: worth to be run in reduced precision, with what stands between
  keeps_range = 32,    ///< no output has a larger number than the inputs: takes quantised numbers as they are
  data_dependent = 8,  ///< some output has rows `~m` that the run finds; infer gives the most. Follows from the ports
  internal = 64,       ///< made by passes, with layouts and types that no file has: in a file it is an unknown operator
};

struct Signature {
  const char* type;  ///< name in the NetDef
  const char* inputs;
  const char* outputs;
  LayoutRule layout = LayoutRule::row_major;
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

/// Where a call runs, and how.
struct Context {
  Device device;
  void* stream = nullptr;  ///< of the device; null on the CPU
  int threads = 1;
  bool tf32 = false;  ///< products of float32 numbers may be of numbers rounded to 10 bits, on tensor cores
  bool tune = false;  ///< what cannot be known is tried out while a call is planned
};

/// What a kernel on a device found wrong with its data. The kernel writes it, its `report` says what it means.
struct DeviceFault {
  std::int32_t code = 0;  ///< 0: nothing was wrong
  std::int64_t row = 0;
  double found = 0, wanted = 0;
};

/// One call of a kernel. Outputs come with the inferred shape and with memory for it. Where rows depend on data, the
/// first dimension of a CPU tensor is what it is in this run; that of a tensor on another device is the most there may
/// be, and a row slot says the number.
struct Call {
  Context context;
  std::span<const Tensor* const> inputs;
  std::span<Tensor* const> outputs;
  std::span<const std::int32_t* const> input_rows;  ///< per input its row slot, on the device; null: all rows count
  std::span<std::int32_t* const> output_rows;       ///< likewise; what a data-dependent operator writes
  void* scratch = nullptr;                          ///< as many bytes as `prepare` asked for, on the device
  const void* state = nullptr;                      ///< what `prepare` made
  DeviceFault* fault = nullptr;  ///< on the device, with code 0; null on the CPU, whose kernels throw

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
  /// For data-dependent operators on the CPU: how many rows output i has, into its row slot.
  void write_rows(std::size_t i, std::int64_t rows) const;
};

/// A call as it is known when it is planned.
struct CallSite {
  std::span<const TensorType> inputs, outputs;
  std::span<Constant* const> constants;  ///< per input, null where it is none
  bool bounded = false;                  ///< the first dimension of inputs and outputs is the most there may be
  Context context;
  std::int64_t images = 1;  ///< of the net; where bounded, each has as many of the rows at most

  bool is_constant(std::size_t i) const { return i < constants.size() && constants[i] != nullptr; }
};

struct Prepared {
  std::shared_ptr<const void> state;  ///< immutable from here on: many sessions share it
  std::size_t scratch_bytes = 0;
  int accumulates = -1;  ///< input that output 0 should share memory with if it can (the kernel copies it there if not)
  std::string detail;    ///< what the kernel chose inside, for profiles
  std::vector<std::size_t> packed;  ///< inputs that `run` does not read: the state holds them
};

/// Which file a kernel stands in. Listed best first, the portable ones last.
enum class Backend { avx512, onednn, winograd, packed, cudnn, cuda, cpu };
std::string_view name(Backend backend);
/// The device that its kernels run on.
Device::Kind device_of(Backend backend);

/// Which types a kernel takes at `real` ports.
enum class Takes {
  one_type,  ///< float32, or which one it says
  any_real,
  any_element,  ///< it only moves elements: any real type, and quantised numbers, whatever a 1 stands for
};

/// A kernel of an operator with these parameters, as its author writes it.
template <class Params>
struct KernelOf {
  const char* name;
  std::string (*reject)(const Params&, const CallSite&);  ///< why it cannot take this call; empty: it can
  void (*run)(const Params&, const Call&);
  Prepared (*prepare)(const Params&, const CallSite&) = nullptr;
  /// How good it is for this call: of those that accept it the highest is taken, of equal ones the first. Null: 0.
  int (*rank)(const Params&, const CallSite&) = nullptr;
  DType real = DType::float32;  ///< what takes one type; int8 stands for quantised numbers, with a sign or without
  /// Throws what the portable kernel would have thrown for this fault. Null: there are no faults.
  void (*report)(const Params&, const CallSite&, const DeviceFault&) = nullptr;
  Takes takes = Takes::one_type;
};
template <class Op>
std::string accepts_all(const typename Op::Params&, const CallSite&) {
  return {};
}

template <class Params>
class KernelList;
/// What `<op>_<backend>.cpp` gives: the kernels of that backend, best first.
template <class Op>
using Kernels = KernelList<typename Op::Params>;
template <class Op, Backend B>
Kernels<Op> kernels();

// ---- What everybody else uses --------------------------------------------------------------------

/// The parameters of one node, as Operator::parse made them.
using Parameters = std::shared_ptr<const void>;

struct Operator;

class Kernel {
 public:
  std::string name;
  Backend backend = Backend::cpu;
  DType real = DType::float32;  ///< what takes one type
  Takes takes = Takes::one_type;
  std::shared_ptr<const Kernel> wide;  ///< null, or: takes what this one does not, and calls it on copies in float32

  /// Whether inputs at `real` ports may be of this type; int8 stands for quantised numbers.
  bool takes_real(DType type) const;
  /// Why it cannot take this call; empty: it can.
  std::string reject(const Operator& op, const Parameters& params, const CallSite& site) const;
  void run(const Parameters& params, const Call& call) const;
  Prepared prepare(const Operator& op, const Parameters& params, const CallSite& site) const;
  bool ranked() const { return function_[3] != nullptr; }
  int rank(const Parameters& params, const CallSite& site) const {
    return function_[3] ? rank_(function_[3], params.get(), site) : 0;
  }
  /// Throws, unless the code of `fault` is 0.
  void report(const Parameters& params, const CallSite& site, const DeviceFault& fault) const;

 private:
  template <class Params>
  friend class KernelList;
  // What the author wrote, without its type; the other functions know it and call with the right one.
  using Any = void (*)();
  std::array<Any, 5> function_{};
  std::string (*reject_)(Any, const void*, const CallSite&) = nullptr;
  void (*run_)(Any, const void*, const Call&) = nullptr;
  Prepared (*prepare_)(Any, const void*, const CallSite&) = nullptr;
  int (*rank_)(Any, const void*, const CallSite&) = nullptr;
  void (*report_)(Any, const void*, const CallSite&, const DeviceFault&) = nullptr;
};

struct Operator {
  std::string type;
  std::vector<std::string> aliases;
  LayoutRule layout = LayoutRule::row_major;
  unsigned traits = none;
  std::vector<Port> inputs, outputs;
  std::vector<FieldInfo> fields;
  std::vector<Kernel> kernels;  ///< best first

  bool is(Trait trait) const { return (traits & trait) != 0; }
  /// Throws InvalidModel: unknown name, wrong type, out of bounds.
  Parameters parse(const Args& args) const;

  // Derived from the definition.
  std::shared_ptr<void> (*make_params)() = nullptr;
  Types (*infer_shapes)(const void* params, const Inputs&) = nullptr;
  std::string (*meaning_of)(const void* params, std::size_t inputs) = nullptr;
  double (*flops_of)(const void* params, const Inputs&, const Types&) = nullptr;

  /// Empty text: a plain operator.
  std::string meaning(const Parameters& params, std::size_t input_count) const {
    return meaning_of(params.get(), input_count);
  }
  double flops(const Parameters& params, const Inputs& in, const Types& out) const {
    return flops_of(params.get(), in, out);
  }
};

/// Types of `outputs` outputs, with layouts. Checks the inputs against the signature first.
Types infer(const Operator& op, const Parameters& params, const Inputs& inputs, std::size_t outputs);
/// Of all outputs that the operator can have.
Types infer_all(const Operator& op, const Parameters& params, const Inputs& inputs);

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

// Kernels of any parameters. Out of line, so that the compiler sees no vector of them once per operator.
class ErasedKernels {
 public:
  ErasedKernels() = default;
  ErasedKernels(ErasedKernels&&) noexcept;
  ErasedKernels& operator=(ErasedKernels&&) = delete;
  ~ErasedKernels();

  std::vector<Kernel> list;

 protected:
  Kernel& add(const char* name, DType real, Takes takes);
};

template <class Params>
class KernelList : public ErasedKernels {
 public:
  KernelList(std::initializer_list<KernelOf<Params>> kernels) {
    for (const KernelOf<Params>& k : kernels) erase(k, add(k.name, k.real, k.takes));
  }

 private:
  static const Params& typed(const void* params) { return *static_cast<const Params*>(params); }

  static void erase(const KernelOf<Params>& k, Kernel& e) {
    using Any = Kernel::Any;
    e.function_ = {reinterpret_cast<Any>(k.reject), reinterpret_cast<Any>(k.run), reinterpret_cast<Any>(k.prepare),
                   reinterpret_cast<Any>(k.rank), reinterpret_cast<Any>(k.report)};
    e.reject_ = [](Any f, const void* p, const CallSite& site) {
      return reinterpret_cast<decltype(k.reject)>(f)(typed(p), site);
    };
    e.run_ = [](Any f, const void* p, const Call& call) { reinterpret_cast<decltype(k.run)>(f)(typed(p), call); };
    e.prepare_ = [](Any f, const void* p, const CallSite& site) {
      return reinterpret_cast<decltype(k.prepare)>(f)(typed(p), site);
    };
    e.rank_ = [](Any f, const void* p, const CallSite& site) {
      return reinterpret_cast<decltype(k.rank)>(f)(typed(p), site);
    };
    e.report_ = [](Any f, const void* p, const CallSite& site, const DeviceFault& fault) {
      reinterpret_cast<decltype(k.report)>(f)(typed(p), site, fault);
    };
  }
};

namespace detail {

/// All but what needs the type of the definition.
void describe(Operator& op, const Signature& signature, std::shared_ptr<void> (*make_params)(),
              std::span<const Field> fields);
void add_kernels(Operator& op, Backend backend, ErasedKernels&& kernels);
/// For operators with `real` ports: their portable kernel for the types that it does not take.
void add_widened(Operator& op);

template <class Op, Backend... Bs>
void define(Operator& op) {
  using Params = typename Op::Params;
  constexpr auto make_params = +[]() -> std::shared_ptr<void> { return std::make_shared<Params>(); };
  if constexpr (requires { Op::fields; })
    describe(op, Op::signature, make_params, Op::fields);
  else
    describe(op, Op::signature, make_params, {});
  op.infer_shapes = [](const void* p, const Inputs& in) { return Op::infer(*static_cast<const Params*>(p), in); };
  op.meaning_of = []([[maybe_unused]] const void* p, [[maybe_unused]] std::size_t inputs) -> std::string {
    if constexpr (requires(const Params& params) { Op::meaning(params, inputs); })
      return Op::meaning(*static_cast<const Params*>(p), inputs);
    else if constexpr (requires { std::string(Op::meaning); })
      return Op::meaning;
    else
      return {};
  };
  op.flops_of = []([[maybe_unused]] const void* p, [[maybe_unused]] const Inputs& in,
                   [[maybe_unused]] const Types& out) -> double {
    if constexpr (requires(const Params& params) { Op::flops(params, in, out); })
      return Op::flops(*static_cast<const Params*>(p), in, out);
    else
      return 0;
  };
  (add_kernels(op, Bs, kernels<Op, Bs>()), ...);
  add_widened(op);
}

/// All operators by type, from the functions that define them.
std::map<std::string, Operator, std::less<>> table(std::span<void (*const)(Operator&)> definitions);

}  // namespace detail
}  // namespace d2deploy
