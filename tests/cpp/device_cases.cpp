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
  std::string text() const { return join(layout, spare_rows > 0 ? ", spare rows" : "", in_place ? ", in place" : ""); }
};

std::vector<Variant> variants(const Case& c) {
  constexpr std::int64_t kSpare = 5;
  std::vector<Variant> all{{}};
  if (can_have_spare_rows(*c.op, c.args, c.inputs, kSpare)) all.push_back({Layout::row_major, kSpare, false});
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

// An emulated device runs the threads of blocks in several orders, in turn. Under a sanitizer, which is slow, and sees
// what they would show, each variant has one of them.
#ifdef D2DEPLOY_TEST_EMULATED
#ifdef D2DEPLOY_TEST_SANITIZED
constexpr std::size_t kLeastRuns = 1;
#else
constexpr std::size_t kLeastRuns = 3;
#endif
struct ThreadOrder {
  static constexpr std::size_t kCount = 3;
  explicit ThreadOrder(std::size_t run) : scope(static_cast<simt::host::Order>(run % kCount)), index(run % kCount) {}
  const char* text() const { return std::array{"", ", threads backward", ", threads shuffled"}[index]; }
  simt::host::OrderScope scope;
  std::size_t index;
};
#else
constexpr std::size_t kLeastRuns = 1;
struct ThreadOrder {
  explicit ThreadOrder(std::size_t) {}
  const char* text() const { return ""; }
};
#endif

// A unit in the last place: what two roundings of nearly equal numbers may differ by. Kernels compute in float32.
double unit(DType dtype) {
  if (dtype == DType::float16) return 0x1p-10;
  return dtype == DType::bfloat16 ? 0x1p-7 : 0;
}

std::string compare(const Case& c, const std::vector<Tensor>& have, const std::vector<Tensor>& want) {
  // Output 0 of a view is its input's memory, which no kernel writes.
  for (std::size_t i = c.op->is(view) ? 1 : 0; i < want.size(); ++i) {
    const std::string where = join(c.op->outputs.size() > 1 ? join("output ", i, ' ') : std::string());
    if (have[i].shape() != want[i].shape()) return join(where, "is ", have[i].shape(), ", wanted ", want[i].shape());
    const Tensor rounded = is_real(have[i].dtype()) ? as(have[i].dtype(), want[i]) : want[i];
    const double tolerance = kTolerance + unit(have[i].dtype());
    if (const auto gap = difference(values_of(have[i]), values_of(rounded), tolerance); !gap.empty())
      return where + gap;
  }
  return {};
}

// What is wrong with how the kernel deals with the case; empty: nothing. Throws Unsupported where it finds no way only
// when it is made ready: a plan takes the next kernel then.
std::string fault_of(const Case& c, const DeviceEvaluation& evaluation, const Kernel& kernel, bool in_place,
                     const std::vector<Tensor>& want) {
  try {
    const auto have = evaluation.run(kernel, in_place);
    return c.error ? "nothing was thrown" : compare(c, have, want);
  } catch (const Error& e) {
    if (!c.error && dynamic_cast<const Unsupported*>(&e) != nullptr) throw;
    if (!c.error) return join("threw: ", e.what());
    return std::string_view(e.what()).find(*c.error) == std::string_view::npos ? join("wrong message: ", e.what()) : "";
  }
}

std::vector<const Kernel*> kernels_for(Device device, const Operator& op) {
  std::vector<const Kernel*> found;
  for (const Kernel& k : op.kernels)
    if (device_of(k.backend) == device.kind) found.push_back(&k);
  return found;
}

// Every kernel in every variant. `what` says what is special about the case.
void run_kernels(Device device, const Case& c, const std::vector<Tensor>& want, const std::string& what,
                 DeviceOutcome& outcome) {
  for (const Kernel* kernel : kernels_for(device, *c.op)) {
    const auto all = variants(c);
    const auto refuse = [&](const Variant& variant, const std::string& why) {
      const std::string text = join(kernel->name, variant.spare_rows > 0 ? " (spare rows) " : " ", why);
      if (std::ranges::find(outcome.refusals, text) == outcome.refusals.end()) outcome.refusals.push_back(text);
    };
    for (std::size_t r = 0; r < std::max(all.size(), kLeastRuns); ++r) {
      const Variant& variant = all[r % all.size()];
      const DeviceEvaluation evaluation = evaluation_of(device, c, variant);
      if (variant.in_place && !evaluation.can_run_in_place()) continue;
      if (auto why = evaluation.reject(*kernel); !why.empty()) {
        refuse(variant, why);
        continue;
      }
      const ThreadOrder order(r);
      try {
        const auto fault = fault_of(c, evaluation, *kernel, variant.in_place, want);
        ++outcome.runs;
        if (!fault.empty())
          outcome.failures.push_back(join(kernel->name, " (", what, variant.text(), order.text(), "): ", fault));
      } catch (const Unsupported& e) {
        refuse(variant, e.what());
      }
    }
  }
}

#ifdef D2DEPLOY_TEST_SANITIZED
// Takes minutes under a sanitizer, and shows no more than smaller ones.
bool is_large(const Case& c) {
  constexpr std::int64_t kMostElements = 20000;
  std::int64_t elements = 0;
  for (const Tensor& t : c.inputs) elements += t.size();
  return elements > kMostElements;
}
#endif

}  // namespace

bool has_kernel_for(Device device, const Operator& op) { return !kernels_for(device, op).empty(); }

DeviceOutcome run_on_device(Device device, const Case& c) {
  DeviceOutcome outcome;
  if (!has_kernel_for(device, *c.op)) return outcome;
#ifdef D2DEPLOY_TEST_SANITIZED
  if (is_large(c)) return outcome;
#endif
  if (c.error) {
    try {
      (void)evaluation_of(device, c, {});
    } catch (const Error&) {  // no kernel comes to see it
      return outcome;
    }
  }
  run_kernels(device, c, c.error ? std::vector<Tensor>() : evaluate(*c.op, c.args, c.inputs), "", outcome);
  if (c.error || !can_be_reduced(c)) return outcome;
#ifdef D2DEPLOY_TEST_SANITIZED
  constexpr std::array kReduced{DType::float16};
#else
  constexpr std::array kReduced{DType::float16, DType::bfloat16};
#endif
  for (const DType dtype : kReduced) {
    if (std::ranges::none_of(kernels_for(device, *c.op), [&](const Kernel* k) { return k->takes_real(dtype); }))
      continue;
    const auto [reduced, wide] = ReducedCase(c, dtype);
    run_kernels(device, reduced, evaluate(*wide.op, wide.args, wide.inputs), join(name(dtype), ", "), outcome);
  }
  return outcome;
}

}  // namespace d2deploy::testing
