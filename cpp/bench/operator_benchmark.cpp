// Times every kernel of the operators in a file of cases (see tests/support/case.h), or of one case:
//
//   operator_benchmark cpp/bench/mask_rcnn.cases [--benchmark_filter=RoIAlign ...]
//   operator_benchmark --case='Relu : 1x256x200x304'
#include <benchmark/benchmark.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <sstream>

#include "case.h"
#include "kernels/reorder.h"
#include "operators/evaluate.h"

using namespace d2deploy;

namespace {

void run(benchmark::State& state, const Case& c, const Kernel& kernel, Layout layout) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const bool map = c.inputs[i].shape().rank() == 4 && (!c.constant[i] || c.op->layout != LayoutRule::any);
    inputs.push_back(map ? reordered(c.inputs[i], layout) : c.inputs[i]);
  }
  Evaluation evaluation(*c.op, c.args, inputs, c.constant);
  if (const auto why = evaluation.reject(kernel); !why.empty()) return state.SkipWithError(why.c_str());
  evaluation.prepare(kernel);
  std::vector<Tensor> outputs;
  for (const auto& type : evaluation.output_types()) outputs.push_back(Tensor::allocate(type));
  for (auto _ : state) {
    auto fresh = outputs;
    evaluation.run(fresh);
  }
  Types types;
  for (const auto& t : inputs) types.push_back(t.type());
  const double flops = c.op->flops(c.op->parse(c.args), {types, {}}, evaluation.output_types());
  if (flops > 0) state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
  double bytes = 0;
  for (const auto& t : types) bytes += static_cast<double>(t.bytes());
  for (const auto& t : evaluation.output_types()) bytes += static_cast<double>(t.bytes());
  state.counters["B/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
}

void add(const Case& c) {
  const bool maps = std::ranges::any_of(c.inputs, [](const Tensor& t) { return t.shape().rank() == 4; });
  for (const auto& kernel : c.op->kernels)
    for (const Layout layout : {Layout::channels_last, Layout::row_major}) {
      if (device_of(kernel.backend) != Device::cpu) continue;
      if (layout == Layout::channels_last && !(maps && c.op->layout != LayoutRule::row_major)) continue;
      const auto label = join(kernel.name, '/', layout, "/", c.text);
      benchmark::RegisterBenchmark(label.c_str(),
                                   [c, &kernel, layout](benchmark::State& s) { run(s, c, kernel, layout); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
}

}  // namespace

int main(int argc, char** argv) try {
  benchmark::Initialize(&argc, argv);
  constexpr std::string_view kCase = "--case=";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with(kCase)) {
      add(parse_case(word.substr(kCase.size())));
      continue;
    }
    std::ifstream in(word);
    std::ostringstream text;
    text << in.rdbuf();
    check(in.good(), "cannot read ", word);
    for (const auto& c : parse_cases(text.str())) add(c);
  }
  return benchmark::RunSpecifiedBenchmarks() == 0 ? 1 : 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
