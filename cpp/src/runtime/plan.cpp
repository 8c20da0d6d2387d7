#include "runtime/plan.h"

#include <algorithm>
#include <deque>

#include "core/memory.h"
#include "core/text.h"
#include "passes/rewrite.h"
#include "runtime/arena.h"

namespace d2deploy {

namespace {

using Place = PlannedValue::Place;

class Planner {
 public:
  Planner(const Graph& graph, const TypeMap& input_types, const Constants& constants, const PlanOptions& options)
      : graph_(graph), constants_(constants), options_(options), names_(graph) {
    // A model's graph has its constants elsewhere.
    for (const auto& [name, constant] : constants) (void)names_.make(name);
    for (const auto& name : graph.inputs) plan_.inputs[name] = add_value(name, input_types.at(name), Place::input);
  }

  Plan run() {
    std::deque<Node> nodes(graph_.nodes.begin(), graph_.nodes.end());
    while (!nodes.empty()) {
      Node node = std::move(nodes.front());
      nodes.pop_front();
      with_context([&] { return describe(node); },
                   [&] {
                     if (const auto why = add_step(node); !why.empty()) {
                       auto plain = expand(node, names_);
                       check<Unsupported>(!plain.empty(), "no kernel takes this call: ", why);
                       log(options_.log, LogLevel::debug, describe(node), " runs as its plain operators: ", why);
                       nodes.insert(nodes.begin(), std::make_move_iterator(plain.begin()),
                                    std::make_move_iterator(plain.end()));
                     }
                   });
    }
    for (const auto& name : graph_.outputs) {
      plan_.outputs.push_back(value(name));
      PlannedValue& output = plan_.values[plan_.outputs.back()];
      if (output.place == Place::constant) output.constant = constants_.at(name)->plain();
    }
    find_lives();
    share_memory();
    place_blocks();
    return std::move(plan_);
  }

 private:
  std::size_t add_value(const std::string& name, const TensorType& type, Place place) {
    plan_.values.push_back({name, type, false, place, plan_.values.size(), 0, {}});
    index_[name] = plan_.values.size() - 1;
    return plan_.values.size() - 1;
  }

  std::size_t value(const std::string& name) {
    if (const auto it = index_.find(name); it != index_.end()) return it->second;
    return add_value(name, constants_.at(name)->type(), Place::constant);
  }

  Constant* constant(std::size_t v) const {
    return plan_.values[v].place == Place::constant ? constants_.at(plan_.values[v].name).get() : nullptr;
  }

  // Why the node cannot be planned as it is; empty: it is planned.
  std::string add_step(const Node& node) {
    Step step;
    step.op = find_operator(node.type);
    step.params = step.op->parse(node.args);
    step.label = describe(node);
    Types inputs;
    std::vector<Constant*> constants;
    std::vector<Tensor> plain(node.inputs.size());
    std::vector<const Tensor*> values;
    bool bounded = step.op->is(data_dependent);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const auto v = value(node.inputs[i]);
      step.inputs.push_back(v);
      inputs.push_back(plan_.values[v].type);
      constants.push_back(constant(v));
      bounded = bounded || plan_.values[v].bounded;
      // Only small constants say anything about shapes; large ones may exist in packed form alone.
      if (constants.back() && inputs.back().shape.rank() <= 1) plain[i] = constants.back()->plain();
      values.push_back(plain[i].raw() ? &plain[i] : nullptr);
    }
    const bool fused = !step.op->meaning(step.params, inputs.size()).empty();
    Types outputs;
    try {
      outputs = infer(*step.op, step.params, {inputs, values}, node.outputs.size());
    } catch (const Error& e) {
      if (!fused) throw;
      return e.what();
    }
    for (const auto& t : outputs)
      if (t.shape.known()) check_size(t, options_.max_tensor_bytes);
    const bool known = std::ranges::all_of(outputs, [](const TensorType& t) { return t.shape.known(); });
    step.infer_at_run = bounded || !known;
    step.prepare_at_run = !known || !std::ranges::all_of(inputs, [](const TensorType& t) { return t.shape.known(); });
    if (known) step.work = work_of(*step.op, step.params, {inputs, values}, outputs);
    if (!step.op->is(view) || outputs.size() > 1)
      if (auto why = choose_kernel(step, {inputs, outputs, constants, bounded, options_.threads}); !why.empty())
        return why;
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const auto v = add_value(node.outputs[i], outputs[i], outputs[i].shape.known() ? Place::arena : Place::heap);
      plan_.values[v].bounded = bounded;
      step.outputs.push_back(v);
    }
    for (std::size_t i = 0; i < step.inputs.size(); ++i)
      if (constants[i] && !(step.prepared.packed >> i & 1U))
        plan_.values[step.inputs[i]].constant = constants[i]->plain();
    plan_.steps.push_back(std::move(step));
    return {};
  }

  void check_memory(const char* what, std::size_t bytes, std::size_t times) const {
    const auto most = static_cast<std::size_t>(std::max<std::int64_t>(options_.max_tensor_bytes, 0));
    check<DeviceError>(most == 0 || bytes / times < most || bytes == most * times, "needs ", bytes, " bytes of ", what,
                       " for these inputs, allowed are ", times, " x ", most,
                       " (max_tensor_bytes); give smaller images, or raise max_tensor_bytes");
  }

  std::string choose_kernel(Step& step, const CallSite& site) {
    const auto forced = options_.forced_kernels.find(step.op->type);
    std::string refusals;
    for (const auto& kernel : step.op->kernels) {
      if (forced != options_.forced_kernels.end() && kernel.name != forced->second) continue;
      if (step.prepare_at_run) {
        step.kernel = &kernel;  // the last, which takes any call, unless one is forced
        continue;
      }
      auto why = kernel.reject(step.params, site);
      if (why.empty()) {
        step.kernel = &kernel;
        step.prepared = kernel.prepare(step.params, site);
        check_memory("scratch memory", step.prepared.scratch_bytes, 1);
        return {};
      }
      log(options_.log, LogLevel::debug, step.label, ": kernel ", kernel.name, " refused: ", why);
      refusals += (refusals.empty() ? "" : "; ") + kernel.name + ": " + why;
    }
    if (step.kernel) return {};
    return refusals.empty() ? step.op->type + " has no kernel" : refusals;
  }

  std::size_t root(std::size_t v) const { return plan_.values[v].root; }

  // The step that makes each value and the last that reads it; outputs are read at the end.
  void find_lives() {
    const std::size_t end = plan_.steps.size();
    first_.assign(plan_.values.size(), 0);
    last_.assign(plan_.values.size(), 0);
    for (std::size_t s = 0; s < end; ++s) {
      for (const auto v : plan_.steps[s].outputs) first_[v] = last_[v] = s;
      for (const auto v : plan_.steps[s].inputs) last_[v] = s;
    }
    for (const auto v : plan_.outputs) last_[v] = end;
  }

  void alias(std::size_t v, std::size_t target) {
    plan_.values[v].place = Place::alias;
    plan_.values[v].root = root(target);
    last_[root(target)] = std::max(last_[root(target)], last_[v]);
  }

  // Whether output 0 of the step can take over the memory of its input i.
  bool can_take(std::size_t s, std::size_t i) const {
    const Step& step = plan_.steps[s];
    const std::size_t source = step.inputs[i], target = step.outputs[0];
    const bool others = std::ranges::count(step.inputs, root(source), [&](std::size_t v) { return root(v); }) > 1;
    return plan_.values[root(source)].place == Place::arena && plan_.values[target].place == Place::arena && !others &&
           last_[root(source)] == s && plan_.values[source].type == plan_.values[target].type &&
           plan_.values[root(source)].type.bytes() == plan_.values[target].type.bytes();
  }

  void share_memory() {
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      const Step& step = plan_.steps[s];
      if (step.op->is(view)) {
        alias(step.outputs[0], step.inputs[0]);
      } else if (step.prepared.accumulates >= 0) {
        const auto i = static_cast<std::size_t>(step.prepared.accumulates);
        if (can_take(s, i)) alias(step.outputs[0], step.inputs[i]);
      } else if (step.op->is(in_place)) {
        for (std::size_t i = 0; i < step.inputs.size(); ++i)
          if (can_take(s, i)) {
            alias(step.outputs[0], step.inputs[i]);
            break;
          }
      }
    }
  }

  void place_blocks() {
    std::vector<Block> blocks;
    std::vector<std::size_t*> offsets;
    for (std::size_t v = 0; v < plan_.values.size(); ++v) {
      PlannedValue& value = plan_.values[v];
      if (value.place != Place::arena) continue;
      blocks.push_back({static_cast<std::size_t>(value.type.bytes()), first_[v], last_[v], 0});
      offsets.push_back(&value.offset);
    }
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      if (plan_.steps[s].prepared.scratch_bytes == 0) continue;
      blocks.push_back({plan_.steps[s].prepared.scratch_bytes, s, s, 0});
      offsets.push_back(&plan_.steps[s].scratch_offset);
    }
    plan_.arena_bytes = place(blocks);
    constexpr std::size_t kMostTensorsAtOnce = 16;  // of the largest size; detectors hold less than two at a time
    check_memory("memory at once", plan_.arena_bytes, kMostTensorsAtOnce);
    for (std::size_t i = 0; i < blocks.size(); ++i) *offsets[i] = blocks[i].offset;
  }

  const Graph& graph_;
  const Constants& constants_;
  const PlanOptions& options_;
  UnusedNames names_;
  Plan plan_;
  std::map<std::string, std::size_t> index_;
  std::vector<std::size_t> first_, last_;
};

}  // namespace

std::map<std::string, std::string> parse_forced_kernels(const std::string& text) {
  std::map<std::string, std::string> forced;
  for (const auto word : split(text, ',')) {
    const auto mark = word.find('=');
    check(mark != std::string_view::npos, "kernels: '", word, "' is not Operator=kernel");
    const std::string type(word.substr(0, mark)), name(word.substr(mark + 1));
    const Operator* op = find_operator(type);
    check(op != nullptr, "kernels: there is no operator '", type, "'");
    std::vector<std::string> known;
    for (const auto& k : op->kernels) known.push_back(k.name);
    check(std::ranges::find(known, name) != known.end(), "kernels: ", type, " has no kernel '", name,
          "'; known: ", list_of(known));
    forced[op->type] = name;
  }
  return forced;
}

Work work_of(const Operator& op, const std::any& params, const Inputs& inputs, const Types& outputs) {
  Work work{op.flops(params, inputs, outputs), 0};
  for (const auto types : {inputs.types, std::span<const TensorType>(outputs)})
    for (const auto& t : types) work.bytes += t.shape.known() ? static_cast<double>(t.bytes()) : 0;
  return work;
}

void check_size(const TensorType& type, std::int64_t max_tensor_bytes) {
  check(max_tensor_bytes <= 0 || type.bytes() <= max_tensor_bytes, "a tensor of shape ", type.shape, " takes ",
        type.bytes(), " bytes, allowed are ", max_tensor_bytes, " (max_tensor_bytes)");
}

Plan make_plan(const Graph& graph, const TypeMap& input_types, const Constants& constants, const PlanOptions& options) {
  return Planner(graph, input_types, constants, options).run();
}

}  // namespace d2deploy
