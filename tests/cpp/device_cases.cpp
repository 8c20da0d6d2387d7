#include "device_cases.h"

#include <algorithm>
#include <array>

#include "compare_values.h"
#include "device_evaluation.h"
#include "operators/evaluate.h"
#include "reduced_case.h"
#ifdef D2DEPLOY_TEST_EMULATED
#include "kernels/simt/simt.h"
#endif

namespace d2deploy::testing {

namespace {

struct Variant {
  Layout layout = Layout::row_major;
  std::int64_t spare_rows = 0;
  bool in_place = false;
};

std::vector<Variant> variants(const Case& c) {
  constexpr std::int64_t kSpare = 5;
  std::vector<Variant> all{{}};
  if (has_rows(*c.op, c.inputs)) all.push_back({Layout::row_major, kSpare, false});
  const bool maps = std::ranges::any_of(c.inputs, [](const Tensor& t) { return t.shape().rank() == 4; });
  const auto add = [&](auto change) {
    for (std::size_t i = 0, n = all.size(); i < n; ++i) change(all.emplace_back(all[i]));
  };
  if (maps && c.op->layout != LayoutRule::row_major) add([](Variant& v) { v.layout = Layout::channels_last; });
  if (c.op->is(in_place)) add([](Variant& v) { v.in_place = true; });
  return all;
}

DeviceEvaluation evaluation_of(Device device, const Case& c, const Variant& variant) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    // Filters stay row-major, as in a net; weights that are read flat follow the feature maps.
    const bool follows = !c.constant[i] || c.op->layout != LayoutRule::any;
    const bool map = c.inputs[i].shape().rank() == 4 && follows;
    inputs.push_back(reordered(c.inputs[i], map ? variant.layout : Layout::row_major));
  }
  return {device, *c.op, c.args, inputs, c.constant, variant.spare_rows};
}

// An emulated device runs the threads of blocks in several orders, in turn.
#ifdef D2DEPLOY_TEST_EMULATED
struct ThreadOrder {
  static constexpr std::size_t kCount = 3;
  explicit ThreadOrder(std::size_t run) : scope(static_cast<simt::host::Order>(run % kCount)), index(run % kCount) {}
  const char* text() const { return std::array{"", ", threads backward", ", threads shuffled"}[index]; }
  simt::host::OrderScope scope;
  std::size_t index;
};
#else
struct ThreadOrder {
  static constexpr std::size_t kCount = 1;
  explicit ThreadOrder(std::size_t) {}
  const char* text() const { return ""; }
};
#endif

std::string compare(const Case& c, const std::vector<Tensor>& have, const std::vector<Tensor>& want, double tolerance) {
  for (std::size_t i = 0; i < want.size(); ++i) {
    const std::string where = join(c.op->outputs.size() > 1 ? join("output ", i, ' ') : std::string());
    if (have[i].shape() != want[i].shape()) return join(where, "is ", have[i].shape(), ", wanted ", want[i].shape());
    if (const auto gap = difference(values_of(have[i]), values_of(want[i]), tolerance); !gap.empty())
      return where + gap;
  }
  return {};
}

// A case in one real type, and what it should give.
struct Attempt {
  Case c;
  std::vector<Tensor> want;
  double tolerance;
  std::string text;  // of the type, where it is not that of the case
};

std::vector<Attempt> attempts(const Case& c) {
  std::vector<Attempt> all{{c, c.error ? std::vector<Tensor>() : evaluate(*c.op, c.args, c.inputs), kTolerance, {}}};
  if (c.error || real_type_of(c) != DType::float32) return all;
  for (const DType dtype : {DType::bfloat16, DType::float16}) {
    const ReducedCase both(c, dtype);
    all.push_back({both.reduced, evaluate(*c.op, c.args, both.wide.inputs), kRounding, join(", ", dtype)});
  }
  return all;
}

bool takes_type(const Kernel& kernel, const Case& c) {
  const auto dtype = real_type_of(c);
  return !dtype || kernel.takes_real(*dtype);
}

// What is wrong with how the kernel deals with the case; empty: nothing.
std::string fault_of(const Attempt& attempt, const DeviceEvaluation& evaluation, const Kernel& kernel, bool in_place) {
  const Case& c = attempt.c;
  try {
    const auto have = evaluation.run(kernel, in_place);
    return c.error ? "nothing was thrown" : compare(c, have, attempt.want, attempt.tolerance);
  } catch (const Error& e) {
    if (!c.error) return join("threw: ", e.what());
    return std::string_view(e.what()).find(*c.error) == std::string_view::npos ? join("wrong message: ", e.what()) : "";
  }
}

// Runs all variants of the attempt by the kernel, and at least as many as there are orders of threads. A refusal ends
// it.
void run_attempt(Device device, const Attempt& attempt, const Kernel& kernel, std::size_t most_runs,
                 DeviceOutcome& outcome) {
  const auto all = variants(attempt.c);
  for (std::size_t r = 0; r < std::max(all.size(), most_runs); ++r) {
    const Variant& variant = all[r % all.size()];
    const DeviceEvaluation evaluation = evaluation_of(device, attempt.c, variant);
    if (auto why = evaluation.reject(kernel); !why.empty()) {
      outcome.refusals.push_back(join(kernel.name, ' ', why));
      return;
    }
    ++outcome.runs;
    const ThreadOrder order(r);
    if (const auto fault = fault_of(attempt, evaluation, kernel, variant.in_place); !fault.empty())
      outcome.failures.push_back(join(kernel.name, " (", variant.layout, attempt.text,
                                      variant.spare_rows > 0 ? ", spare rows" : "",
                                      variant.in_place ? ", in place" : "", order.text(), "): ", fault));
  }
}

}  // namespace

bool has_kernel_for(Device device, const Operator& op) {
  return std::ranges::any_of(op.kernels, [&](const Kernel& k) { return device_of(k.backend) == device.kind; });
}

DeviceOutcome run_on_device(Device device, const Case& c) {
  DeviceOutcome outcome;
  if (!has_kernel_for(device, *c.op)) return outcome;
  if (c.error) {
    try {
      (void)evaluation_of(device, c, {});
    } catch (const Error&) {  // no kernel comes to see it
      return outcome;
    }
  }
  for (const Attempt& attempt : attempts(c))
    for (const Kernel& kernel : c.op->kernels)
      if (device_of(kernel.backend) == device.kind && takes_type(kernel, attempt.c))
        run_attempt(device, attempt, kernel, attempt.text.empty() ? ThreadOrder::kCount : 1, outcome);
  return outcome;
}

}  // namespace d2deploy::testing
