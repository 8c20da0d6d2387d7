#include "d2deploy/calibrator.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "core/element_type.h"
#include "core/memory.h"
#include "core/threads.h"
#include "graph/fingerprint.h"
#include "io/calibration_file.h"
#include "io/model_file.h"
#include "kernels/convert.h"
#include "kernels/quantise.h"
#include "operators/evaluate.h"
#include "passes/quantise.h"
#include "runtime/frame.h"
#include "runtime/histogram.h"
#include "runtime/model.h"

namespace d2deploy {

namespace {

ModelOptions model_options(const CalibratorOptions& options) {
  ModelOptions model;
  model.threads = options.threads;
  model.own_class_masks = true;  // as a detector has it; other nets have the same layers and more
  return model;
}

std::uint64_t fingerprint_of(const std::filesystem::path& predict_net, const std::filesystem::path& init_net) {
  Graph graph = read_model(predict_net, init_net);
  run_passes(graph, import_passes(), {});
  return fingerprint(graph);
}

// Sums over all elements of what was measured.
struct Deviation {
  double changed = 0, all = 0;

  void add(const Tensor& is, const Tensor& wanted) {
    const auto a = is.values<float>(), b = wanted.values<float>();
    for (std::size_t i = 0; i < b.size(); ++i) {
      const double x = b[i], gap = static_cast<double>(a[i]) - x;
      changed += gap * gap;
      all += x * x;
    }
  }
  double relative() const { return all > 0 ? std::sqrt(changed / all) : changed > 0 ? 1 : 0; }
};

// A frame of a plan in memory of its own.
struct Run {
  std::shared_ptr<const Plan> plan;
  Frame frame;

  Run(const Model::Impl& net, const Tensors& inputs) : plan(plan_of(net, inputs)), frame(frame_of(net)) {
    frame.set_inputs(inputs);
  }

 private:
  static std::shared_ptr<const Plan> plan_of(const Model::Impl& net, const Tensors& inputs) {
    TypeMap types;
    for (const auto& [name, tensor] : inputs) types[name] = tensor.type();
    return net.plan(net.check_inputs(types));
  }
  Frame frame_of(const Model::Impl& net) const {
    return {plan, allocate(plan->arena_bytes), net.constants, net.plan_options};
  }
};

}  // namespace

struct Calibrator::Impl {
  Impl(const std::filesystem::path& predict_net, const std::filesystem::path& init_net, const CalibratorOptions& given);

  void observe(const Tensors& inputs);
  void measure(const Tensors& inputs);
  Calibration result() const;
  std::vector<CalibratedLayer> layers() const;

  const Model::Impl& net() const { return impl_of(*model); }
  std::string source(const std::string& value) const;
  std::string name_in_file(const std::string& value) const {
    const auto it = names_in_file.find(value);
    return it == names_in_file.end() ? value : it->second;
  }
  std::map<std::string, Range> best_ranges() const;
  std::optional<std::vector<Tensor>> inputs_in_int8(const Node& node, const Call& call) const;
  void measure_layer(const Node& node, const Step& step, Frame& frame, std::size_t s);

  std::uint64_t fingerprint;
  std::shared_ptr<const Model> model;
  CalibratorOptions options;
  Quantisable quantisable;
  std::map<std::string, const Node*> makers;
  std::map<std::string, std::string> names_in_file;  // of outputs of the net, which the choice of layouts renamed
  std::map<std::string, Histogram> histograms;
  std::map<std::string, Range> ranges;  // of the histograms; made when layers are measured
  std::map<std::string, Deviation> errors;
};

Calibrator::Impl::Impl(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                       const CalibratorOptions& given)
    : fingerprint(fingerprint_of(predict_net, init_net)),
      model(Model::load(predict_net, init_net, model_options(given))),
      options(given) {
  check(options.most_error >= 0, "most_error is ", options.most_error, ", must be at least 0");
  quantisable = find_quantisable(net().graph);
  for (const auto& node : net().graph.nodes) {
    for (const auto& y : node.outputs) makers[y] = &node;
    const bool output = std::ranges::find(model->outputs(), node.outputs[0]) != model->outputs().end();
    if (output && node.type == "Reorder") names_in_file[node.inputs[0]] = node.outputs[0];
  }
}

// The value whose numbers these are, in another layout or shape.
std::string Calibrator::Impl::source(const std::string& value) const {
  const auto maker = makers.find(value);
  if (maker == makers.end()) return value;
  const Node& node = *maker->second;
  const bool same = node.type == "Reorder" || (find_operator(node.type)->is(view) && value == node.outputs[0]);
  return same ? source(node.inputs[0]) : value;
}

void Calibrator::Impl::observe(const Tensors& inputs) {
  const ThreadScope threads(net().options.threads);
  Run run(net(), inputs);
  std::map<std::string, Histogram> seen = histograms;  // all of a picture counts, or nothing
  for (std::size_t s = 0; s < run.plan->steps.size(); ++s) {
    run.frame.run_step(s);
    const Step& step = run.plan->steps[s];
    for (std::size_t i = 0; i < step.outputs.size() && step.kernel != nullptr; ++i) {
      const auto& name = run.plan->values[step.outputs[i]].name;
      const Tensor& value = run.frame.call(s).output(i);
      if (!quantisable.values.contains(name) || value.dtype() != DType::float32) continue;
      check<InvalidModel>(seen[name].add(value), step.label, ": gives numbers that are not finite for this picture");
    }
  }
  histograms = std::move(seen);
  ranges.clear();
}

std::map<std::string, Range> Calibrator::Impl::best_ranges() const {
  std::map<std::string, Range> best;
  for (const auto& [name, histogram] : histograms)
    if (!histogram.empty()) best[name] = histogram.best_range();
  return best;
}

// What the node reads, in 8 bits; nothing where it cannot be.
std::optional<std::vector<Tensor>> Calibrator::Impl::inputs_in_int8(const Node& node, const Call& call) const {
  const Operator& op = *find_operator(node.type);
  const auto ports = ports_of(op.inputs, node.inputs.size());
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (const auto constant = net().constants.find(node.inputs[i]); constant != net().constants.end()) {
      const Tensor plain = constant->second->plain();
      inputs.push_back(i == 1 ? rounded_weights(plain, output_channels_axis(op)) : plain);
      continue;
    }
    inputs.push_back(call.input(i));
    if (!ports[i]->real) continue;
    const auto range = ranges.find(source(node.inputs[i]));
    TensorType type = range == ranges.end() ? TensorType() : quantised_type(range->second);
    if (!is_quantised(type)) return std::nullopt;
    type.shape = call.input(i).shape();
    type.layout = call.input(i).layout();
    Tensor narrow = Tensor::allocate(type);
    convert(call.input(i), narrow);
    inputs.back() = narrow;
  }
  return inputs;
}

// Runs the step, and the same in int8 before: it may write over what it reads.
void Calibrator::Impl::measure_layer(const Node& node, const Step& step, Frame& frame, std::size_t s) {
  const auto inputs = inputs_in_int8(node, frame.call(s));
  std::vector<Tensor> outputs;
  if (inputs && frame.call(s).input(0).size() > 0) {
    std::vector<bool> constant;
    for (const auto& x : node.inputs) constant.push_back(net().constants.contains(x));
    Evaluation evaluation(*step.op, node.args, *inputs, constant);
    for (const auto& type : evaluation.output_types()) outputs.push_back(Tensor::allocate(type));
    const auto kernel =
        std::ranges::find_if(step.op->kernels, [&](const Kernel& k) { return evaluation.reject(k).empty(); });
    check<InternalError>(kernel != step.op->kernels.end(), step.label, ": no kernel runs it in int8");
    evaluation.prepare(*kernel);
    evaluation.run(outputs);
  }
  frame.run_step(s);
  if (!outputs.empty()) errors[node.outputs[0]].add(outputs[0], frame.call(s).output(0));
}

void Calibrator::Impl::measure(const Tensors& inputs) {
  check(!histograms.empty(), "no picture was observed; give some to observe() before any to measure()");
  if (ranges.empty()) ranges = best_ranges();
  const ThreadScope threads(net().options.threads);
  Run run(net(), inputs);
  for (std::size_t s = 0; s < run.plan->steps.size(); ++s) {
    const Step& step = run.plan->steps[s];
    const auto& name = run.plan->values[step.outputs[0]].name;
    const auto maker = makers.find(name);
    const bool layer = quantisable.layers.contains(name) && maker->second->type == step.op->type;
    if (layer)
      measure_layer(*maker->second, step, run.frame, s);
    else
      run.frame.run_step(s);
  }
}

std::vector<CalibratedLayer> Calibrator::Impl::layers() const {
  std::vector<CalibratedLayer> all;
  for (const auto& node : net().graph.nodes) {
    const auto error = errors.find(node.outputs[0]);
    if (error == errors.end()) continue;
    const double relative = error->second.relative();
    all.push_back({name_in_file(node.outputs[0]), relative, relative > static_cast<double>(options.most_error)});
  }
  return all;
}

Calibration Calibrator::Impl::result() const {
  check(!histograms.empty(), "no picture was observed; there is nothing to write");
  Calibration calibration{fingerprint, {}, {}, {}};
  for (const auto& [name, range] : best_ranges()) calibration.ranges[name_in_file(name)] = range;
  for (const auto& layer : layers()) {
    calibration.layers[layer.output] = static_cast<float>(layer.error);
    if (layer.stays_float32) calibration.kept.insert(layer.output);
  }
  return calibration;
}

Calibrator::Calibrator(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                       const CalibratorOptions& options)
    : impl_(guarded([&] { return std::make_unique<Impl>(predict_net, init_net, options); })) {}
Calibrator::~Calibrator() = default;
Calibrator::Calibrator(Calibrator&&) noexcept = default;
Calibrator& Calibrator::operator=(Calibrator&&) noexcept = default;
const std::vector<std::string>& Calibrator::inputs() const { return impl_->model->inputs(); }
void Calibrator::observe(const Tensors& inputs) {
  guarded([&] { impl_->observe(inputs); });
}
void Calibrator::measure(const Tensors& inputs) {
  guarded([&] { impl_->measure(inputs); });
}
std::vector<CalibratedLayer> Calibrator::layers() const {
  return guarded([&] { return impl_->layers(); });
}
void Calibrator::write(const std::filesystem::path& file) const {
  guarded([&] { write_calibration(impl_->result(), file); });
}

}  // namespace d2deploy
