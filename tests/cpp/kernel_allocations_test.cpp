// What a kernel needs it asks for when it is prepared: every kernel runs the calls of all case files without
// allocating.
//   kernel_allocations_test FILE...            exit status 0: none allocates
#include <fstream>
#include <iostream>
#include <sstream>

#include "allocation_count.h"
#include "case.h"
#include "core/memory.h"
#include "core/threads.h"
#include "kernels/reorder.h"
#include "operators/operator.h"

using namespace d2deploy;

namespace {

int failures = 0, runs = 0;

// One call of one kernel, twice: what is made once, such as the memory of threads, is made in the first run.
void check_kernel(const Case& c, const Kernel& kernel, const std::vector<Tensor>& inputs) {
  const Parameters params = c.op->parse(c.args);
  std::vector<const Tensor*> in;
  Types input_types;
  std::vector<std::unique_ptr<Constant>> constants;
  std::vector<Constant*> constant_pointers;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    in.push_back(&inputs[i]);
    input_types.push_back(inputs[i].type());
    constants.push_back(c.constant[i] ? std::make_unique<Constant>(inputs[i]) : nullptr);
    constant_pointers.push_back(constants.back().get());
  }
  const Types output_types = infer_all(*c.op, params, {input_types, in});
  const CallSite site{input_types, output_types, constant_pointers, false, {{}, nullptr, thread_count()}};
  if (!kernel.reject(*c.op, params, site).empty()) return;
  const Prepared prepared = kernel.prepare(*c.op, params, site);
  const auto scratch = allocate(prepared.scratch_bytes);
  for (const bool counted : {false, true}) {
    std::vector<Tensor> outputs;
    std::vector<Tensor*> out;
    for (const TensorType& t : output_types) outputs.push_back(Tensor::allocate(t));
    for (Tensor& t : outputs) out.push_back(&t);
    const Call call{site.context, in, out, {}, {}, scratch.get(), prepared.state.get()};
    if (!counted) {
      kernel.run(params, call);
      continue;
    }
    const testing::AllocationCount allocations;
    kernel.run(params, call);
    ++runs;
    if (allocations.count() == 0) continue;
    ++failures;
    std::cerr << "FAIL " << kernel.name << " allocates " << allocations.count() << " times in a run of\n  " << c.text
              << '\n';
  }
}

void check_case(const Case& c) {
  if (c.error || c.op->is(view)) return;
  for (const Layout layout : {Layout::row_major, Layout::channels_last}) {
    if (layout == Layout::channels_last && c.op->layout != LayoutRule::any && c.op->layout != LayoutRule::follow) break;
    std::vector<Tensor> inputs;
    for (std::size_t i = 0; i < c.inputs.size(); ++i)
      inputs.push_back(reordered(c.inputs[i], c.constant[i] ? Layout::row_major : layout));
    for (const Kernel& kernel : c.op->kernels)
      if (device_of(kernel.backend) == Device::cpu) check_kernel(c, kernel, inputs);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  for (int i = 1; i < argc; ++i) {
    std::ifstream in(argv[i]);
    std::ostringstream text;
    text << in.rdbuf();
    check(in.good(), "cannot read ", argv[i]);
    for (const Case& c : parse_cases(text.str())) check_case(c);
  }
  std::cout << runs << " runs, " << failures << " of them allocate\n";
  return failures != 0 || runs == 0 ? 1 : 0;  // nothing that ran is a failure
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 2;
}
