// Runs every line of .cases files through every kernel of its operator, in every layout it takes,
// with room for more rows than there are, and in place where that is allowed:
//   shape == inference;  kernel == worked value;  kernel == meaning;  kernel == portable kernel.
//
//   operator_test FILE...            exit status 0: all cases pass
//   operator_test --device=cuda ...  the kernels for that device instead: equal to the portable ones, errors too
//   operator_test --case 'TEXT'      one case, as a failure prints it
//   operator_test --dump DIR FILE    also writes DIR/<case>.in<i>.npy and .out<i>.npy (portable kernel)
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "case.h"
#include "compare_values.h"
#include "device_cases.h"
#include "graph/graph.h"
#include "io/npy.h"
#include "kernels/convert.h"
#include "kernels/quantise.h"
#include "kernels/reorder.h"
#include "operators/evaluate.h"
#include "passes/quantise.h"
#include "reduced_case.h"

using namespace d2deploy;
using namespace d2deploy::testing;

namespace {

int failures = 0;

void expect(bool ok, const Case& c, const std::string& what) {
  if (ok) return;
  ++failures;
  std::cerr << "FAIL " << what << "\n  reproduce: operator_test --case '" << c.text << "'\n";
}

// Memory that shows what was not written (NaN) and what was written outside (guard bands).
class Guarded {
 public:
  explicit Guarded(const TensorType& type)
      : bytes_(static_cast<std::size_t>(type.bytes())),
        memory_(Tensor::allocate({DType::uint8, {static_cast<std::int64_t>(bytes_ + 2 * kBand)}})) {
    std::memset(memory_.raw(), 0xFF, bytes_ + 2 * kBand);
    tensor_ = Tensor::share(type, static_cast<std::byte*>(memory_.raw()) + kBand, std::make_shared<Tensor>(memory_));
  }
  Tensor& tensor() { return tensor_; }
  bool intact() const {
    const auto* p = memory_.data<std::uint8_t>();
    for (std::size_t i = 0; i < kBand; ++i)
      if (p[i] != 0xFF || p[kBand + bytes_ + i] != 0xFF) return false;
    return true;
  }

 private:
  static constexpr std::size_t kBand = 256;
  std::size_t bytes_;
  Tensor memory_, tensor_;
};

struct Variant {
  Layout layout = Layout::row_major;
  bool spare_rows = false, in_place = false;
  std::string text() const { return join(layout, spare_rows ? ", spare rows" : "", in_place ? ", in place" : ""); }
};

// Outputs of one kernel in one variant; nothing where it does not take the call.
std::optional<std::vector<Tensor>> run(const Case& c, const Kernel& kernel, const Variant& variant) {
  if (device_of(kernel.backend) != Device::cpu) return std::nullopt;
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    // Filters stay row-major, as in a net; weights that are read flat follow the feature maps.
    const bool follows = !c.constant[i] || c.op->layout != LayoutRule::any;
    const bool map = c.inputs[i].shape().rank() == 4 && follows;
    inputs.push_back(reordered(c.inputs[i], map ? variant.layout : Layout::row_major));
  }
  const std::int64_t capacity = variant.spare_rows ? inputs[0].dim(0) + 5 : -1;
  Evaluation evaluation(*c.op, c.args, inputs, c.constant, capacity);
  if (const auto why = evaluation.reject(kernel); !why.empty()) {
    std::cout << "  skip " << c.op->type << '/' << kernel.name << " (" << variant.text() << "): " << why << '\n';
    return std::nullopt;
  }
  std::vector<Guarded> memory;
  std::vector<Tensor> outputs;
  for (const auto& type : evaluation.output_types()) outputs.push_back(memory.emplace_back(type).tensor());
  if (variant.in_place) {
    if (outputs[0].type() != inputs[0].type()) return std::nullopt;
    outputs[0] = inputs[0];
  }
  evaluation.prepare(kernel);
  evaluation.run(outputs);
  const std::string who = kernel.name + " (" + variant.text() + ")";
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    expect(memory[i].intact(), c, who + ": wrote outside of output " + std::to_string(i));
    if (!c.op->is(data_dependent))
      expect(outputs[i].type() == evaluation.output_types()[i], c, who + ": shape differs from inference");
    outputs[i] = reordered(outputs[i], Layout::row_major);
  }
  return outputs;
}

void compare(const Case& c, const std::vector<Tensor>& have, const std::vector<Tensor>& want, const std::string& who,
             double tolerance = kTolerance) {
  for (std::size_t i = 0; i < want.size(); ++i) {
    expect(have[i].shape() == want[i].shape(), c,
           join(who, ": output ", i, " is ", have[i].shape(), ", wanted ", want[i].shape()));
    const auto gap = difference(values_of(have[i]), values_of(want[i]), tolerance);
    expect(gap.empty(), c, join(who, ": output ", i, ": ", gap));
  }
}

std::vector<Tensor> run_meaning(const Case& c, const std::string& text) {
  std::map<std::string, Tensor> values;
  std::size_t i = 0;
  const auto repeats = std::ranges::count_if(c.op->inputs, &Port::repeated);
  const std::size_t times = repeats ? (c.inputs.size() - (c.op->inputs.size() - static_cast<std::size_t>(repeats))) /
                                          static_cast<std::size_t>(repeats)
                                    : 0;
  for (const auto& port : c.op->inputs)
    for (std::size_t k = 0; k < (port.repeated ? times : 1) && i < c.inputs.size(); ++k)
      values[port.repeated ? port.name + '_' + std::to_string(k) : port.name] = c.inputs[i++];
  for (const Node& node : parse_graph(text).nodes) {
    std::vector<Tensor> inputs;
    for (const auto& x : node.inputs) inputs.push_back(values.at(x));
    Args args = node.args;
    if (args.erase("*")) args.insert(c.args.begin(), c.args.end());
    auto outputs = evaluate(*find_operator(node.type), args, inputs);
    for (std::size_t k = 0; k < node.outputs.size(); ++k) values[node.outputs[k]] = outputs[k];
  }
  std::vector<Tensor> outputs;
  for (const auto& port : c.op->outputs) outputs.push_back(values.at(port.name));
  return outputs;
}

void check_error(const Case& c) {
  try {
    (void)evaluate(*c.op, c.args, c.inputs);
  } catch (const Error& e) {
    expect(std::string_view(e.what()).find(*c.error) != std::string_view::npos, c, join("wrong message: ", e.what()));
    return;
  }
  expect(false, c, "nothing was thrown");
}

std::vector<Variant> variants(const Case& c) {
  std::vector<Variant> all{{}};
  const bool rows = !c.inputs.empty() && c.inputs[0].shape().rank() > 0 && !c.op->is(data_dependent);
  if (rows && !c.constant[0]) {
    Evaluation plain(*c.op, c.args, c.inputs);
    const auto& out = plain.output_types()[0].shape;
    if (out.rank() > 0 && out[0] == c.inputs[0].dim(0)) all.push_back({Layout::row_major, true, false});
  }
  if (c.op->layout != LayoutRule::row_major)
    if (std::ranges::any_of(c.inputs, [](const Tensor& t) { return t.shape().rank() == 4; }))
      for (std::size_t i = 0, n = all.size(); i < n; ++i)
        all.push_back({Layout::channels_last, all[i].spare_rows, false});
  if (c.op->is(in_place))
    for (std::size_t i = 0, n = all.size(); i < n; ++i) all.push_back({all[i].layout, all[i].spare_rows, true});
  return all;
}

// The kernels for other real types, against the portable one in float32 on the same, rounded inputs.
void check_reduced(const Case& c, DType dtype) {
  const auto [reduced, wide] = ReducedCase(c, dtype);
  const auto want = evaluate(*wide.op, wide.args, wide.inputs);
  for (const auto& kernel : reduced.op->kernels)
    for (const auto& variant : variants(reduced))
      if (const auto have = run(reduced, kernel, variant))
        compare(c, *have, want, join(kernel.name, " in ", dtype, " (", variant.text(), ")"), kRounding);
}

// ---- In 8 bits -----------------------------------------------------------------------------------

// The type of 8 bits for these numbers.
TensorType type_in_8_bits(const Tensor& t) {
  Range range;
  for (const float x : t.values<float>()) range = {std::min(range.low, x), std::max(range.high, x)};
  TensorType type = quantised_type(range);
  if (!is_quantised(type)) type.scale = 1;  // all are 0
  type.shape = t.shape();
  type.layout = t.layout();
  return type;
}

Tensor converted(const Tensor& t, const TensorType& type) {
  Tensor out = Tensor::allocate(type);
  convert(t, out);
  return out;
}
Tensor in_float32(const Tensor& t) {
  return is_quantised(t.type()) ? converted(t, {DType::float32, t.shape(), t.layout()}) : t;
}

// Half a quantum is what rounding costs; a little more where the sums of two kernels lie on both sides of a tie.
void compare_in_8_bits(const Case& c, const Tensor& have, const Tensor& want, const std::string& who) {
  expect(have.shape() == want.shape(), c, join(who, ": is ", have.shape(), ", wanted ", want.shape()));
  const auto is = values_of(in_float32(have)), should = values_of(want);
  for (std::size_t i = 0; i < should.size(); ++i) {
    const double near =
        0.51 * static_cast<double>(have.type().scale) + kTolerance * std::max(1.0, std::fabs(should[i]));
    if (std::fabs(is[i] - should[i]) <= near) continue;
    return expect(false, c, join(who, ": element ", i, " is ", is[i], ", wanted ", should[i], " +- ", near));
  }
}

// The kernels for quantised numbers, against the portable one in float32 on the same, rounded inputs.
void check_quantised(const Case& c, bool narrow_output) {
  Case narrow = c, wide = c;
  const auto ports = ports_of(c.op->inputs, c.inputs.size());
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (!ports[i]->real || c.inputs[i].dtype() != DType::float32) continue;
    if (!std::ranges::all_of(c.inputs[i].values<float>(), [](float x) { return std::isfinite(x); })) return;
    narrow.inputs[i] = converted(c.inputs[i], type_in_8_bits(c.inputs[i]));
    wide.inputs[i] = in_float32(narrow.inputs[i]);
  }
  if (can_quantise(*c.op))
    narrow.inputs[1] = wide.inputs[1] = rounded_weights(c.inputs[1], output_channels_axis(*c.op));
  const auto want = evaluate(*wide.op, wide.args, wide.inputs);
  if (narrow_output) {
    const TensorType y = type_in_8_bits(want[0]);
    narrow.args["y_dtype"] = std::string(name(y.dtype));
    narrow.args["y_scale"] = y.scale;
  } else if (can_quantise(*c.op) && c.inputs.size() > 3) {  // what is added to float32 is float32
    narrow.inputs[3] = wide.inputs[3];
  }
  for (const auto& kernel : narrow.op->kernels)
    for (const auto& variant : variants(narrow))
      if (const auto have = run(narrow, kernel, variant))
        for (std::size_t i = 0; i < want.size(); ++i)
          compare_in_8_bits(c, (*have)[i], want[i], join(kernel.name, " in 8 bits (", variant.text(), ")"));
}

void check_case(const Case& c) {
  if (c.error) return check_error(c);
  const auto want = evaluate(*c.op, c.args, c.inputs);
  for (std::size_t i = 0; i < c.expected.size(); ++i) {
    const auto gap = difference(values_of(want[i]), {c.expected[i].begin(), c.expected[i].end()});
    expect(gap.empty(), c, join("output ", i, " differs from the worked value: ", gap));
  }
  if (const auto text = c.op->meaning(c.op->parse(c.args), c.inputs.size()); !text.empty())
    compare(c, want, run_meaning(c, text), "meaning");
  if (c.op->is(view)) return;
  for (const auto& kernel : c.op->kernels) {
    for (const auto& variant : variants(c))
      if (const auto have = run(c, kernel, variant)) compare(c, *have, want, kernel.name + " (" + variant.text() + ")");
  }
  const bool real = can_be_reduced(c);
  if (real)
    for (const DType dtype : {DType::bfloat16, DType::float16}) check_reduced(c, dtype);
  if (real && (c.op->is(keeps_range) || can_quantise(*c.op))) check_quantised(c, false);
  if (real && can_quantise(*c.op)) check_quantised(c, true);
}

void check_safely(const Case& c) {
  try {
    check_case(c);
  } catch (const std::exception& e) {
    expect(false, c, join("threw: ", e.what()));
  }
}

// Returns: how many of the cases ran. An operator without a kernel for the device, or whose kernels take none of them,
// is a failure.
std::size_t check_on_device(Device device, const std::string& who, const std::vector<Case>& cases) {
  std::size_t count = 0;
  bool has_kernel = false;
  for (const auto& c : cases) {
    has_kernel = has_kernel || has_kernel_for(device, *c.op);
    const DeviceOutcome outcome = run_on_device(device, c);
    for (const auto& why : outcome.refusals) std::cout << "  skip " << c.text << ": " << why << '\n';
    for (const auto& what : outcome.failures) {
      ++failures;
      std::cerr << "FAIL " << what << "\n  reproduce: operator_test --device=cuda --case '" << c.text << "'\n";
    }
    count += outcome.runs > 0 ? 1 : 0;
  }
  const bool views = std::ranges::all_of(cases, [](const Case& c) { return c.op->is(view); });
  if (!has_kernel && views) {
    std::cout << who << ": views, for which nothing runs\n";
    return cases.size();
  }
  std::cout << who << ": " << count << " of " << cases.size() << " cases on " << device << '\n';
  check(has_kernel, who, " has no kernel for ", device);
  check(count > 0, who, ": the kernels for ", device, " take none of the cases");
  return count;
}

void dump(const std::filesystem::path& folder, const std::vector<Case>& cases) {
  for (std::size_t n = 0; n < cases.size(); ++n) {
    const Case& c = cases[n];
    if (c.error) continue;
    const auto outputs = evaluate(*c.op, c.args, c.inputs);
    const auto in_numpy = [](const Tensor& t) { return t.dtype() != DType::bfloat16 && t.dtype() != DType::float16; };
    if (!std::ranges::all_of(c.inputs, in_numpy) || !std::ranges::all_of(outputs, in_numpy)) continue;
    const auto write = [&](const char* kind, const std::vector<Tensor>& tensors) {
      for (std::size_t i = 0; i < tensors.size(); ++i)
        write_npy(folder / join(n, '.', kind, i, ".npy"), reordered(tensors[i], Layout::row_major));
    };
    write("in", c.inputs);
    write("out", outputs);
    std::ofstream(folder / join(n, ".txt")) << c.text << '\n';
  }
}

std::string read(const char* path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  check(in.good(), "cannot read ", path);
  return text.str();
}

}  // namespace

int main(int argc, char** argv) try {
  std::vector<std::string> words(argv + 1, argv + argc);
  std::size_t count = 0;
  std::optional<Device> device;
  if (!words.empty() && words[0] == "--device=cuda") {
    device = {Device::cuda, 0};
    std::cout << device_name(*device) << '\n';
    words.erase(words.begin());
  }
  if (words.size() == 2 && words[0] == "--case") {
    const Case c = parse_case(words[1]);
    if (!device) check_safely(c);
    count = device ? check_on_device(*device, "case", {c}) : 1;
  } else if (words.size() == 3 && words[0] == "--dump") {
    const auto cases = parse_cases(read(words[2].c_str()));
    dump(words[1], cases);
    count = cases.size();
  } else {
    for (const auto& path : words) {
      const auto cases = parse_cases(read(path.c_str()));
      if (!device)
        for (const auto& c : cases) check_safely(c);
      count += device ? check_on_device(*device, std::filesystem::path(path).stem(), cases) : cases.size();
    }
  }
  std::cout << count << " cases, " << failures << " failures\n";
  return failures != 0 || count == 0 ? 1 : 0;  // nothing collected is a failure
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 2;
}
