#include "runtime/plan.h"

#include <algorithm>
#include <deque>
#include <set>

#include "core/element_type.h"
#include "core/memory.h"
#include "core/text.h"
#include "passes/quantise.h"
#include "runtime/arena.h"
#include "runtime/device_preparation.h"
#include "runtime/step_order.h"

namespace d2deploy {

namespace {

using Place = PlannedValue::Place;

// Whether elements of both types lie in the same places. What quantised ones stand for may differ.
bool lies_alike(const TensorType& a, const TensorType& b) {
  return a.shape == b.shape && a.layout == b.layout && (a.dtype == b.dtype || (is_quantised(a) && is_quantised(b)));
}

class Planner {
 public:
  Planner(const Graph& graph, const TypeMap& input_types, const Constants& constants, const PlanOptions& options)
      : graph_(graph), constants_(constants), options_(options), names_(graph) {
    // A model's graph has its constants elsewhere.
    for (const auto& [name, constant] : constants) (void)names_.make(name);
    for (const auto& name : graph.inputs) plan_.inputs[name] = add_value(name, input_types.at(name), Place::input);
    if (const auto data = input_types.find("data"); data != input_types.end() && data->second.shape.rank() == 4)
      images_ = data->second.shape[0];
  }

  Plan run() {
    std::deque<Node> nodes(graph_.nodes.begin(), graph_.nodes.end());
    while (!nodes.empty()) {
      Node node = std::move(nodes.front());
      nodes.pop_front();
      with_context([&] { return describe(node); },
                   [&] {
                     if (const auto why = add_step(node); !why.empty()) {
                       auto plain = expand_quantised(node, types_of(node), names_);
                       check<Unsupported>(!plain.empty(), "no kernel takes this call: ", why);
                       log(options_.log, LogLevel::debug, describe(node), " runs as its plain operators: ", why);
                       nodes.insert(nodes.begin(), std::make_move_iterator(plain.begin()),
                                    std::make_move_iterator(plain.end()));
                     }
                   });
    }
    prepare_later();
    for (const auto& name : graph_.outputs) {
      plan_.outputs.push_back(value(name));
      PlannedValue& output = plan_.values[plan_.outputs.back()];
      if (output.place == Place::constant && output.constant.raw() == nullptr)
        output.constant = constants_.at(name)->plain();
    }
    place_values();
    return std::move(plan_);
  }

 private:
  // With the steps in the graph's order, or in one that needs less memory.
  void place_values() {
    const auto unplaced = plan_.values;
    const auto place_all = [&] {
      plan_.values = unplaced;
      find_lives();
      share_memory();
      place_blocks();
    };
    std::vector<std::size_t> order = on_device() ? std::vector<std::size_t>() : order_for_memory(plan_);
    place_all();
    if (std::ranges::is_sorted(order)) return;
    const std::size_t bytes = plan_.arena_bytes;
    reorder_steps(order);
    place_all();
    if (plan_.arena_bytes < bytes) return;
    std::vector<std::size_t> back(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) back[order[i]] = i;
    reorder_steps(back);
    place_all();
  }

  void reorder_steps(const std::vector<std::size_t>& order) {
    std::vector<Step> steps;
    for (const auto s : order) steps.push_back(std::move(plan_.steps[s]));
    plan_.steps = std::move(steps);
  }

  std::size_t add_value(const std::string& name, const TensorType& type, Place place) {
    plan_.values.push_back({name, type, -1, place, plan_.values.size(), 0, {}});
    index_[name] = plan_.values.size() - 1;
    return plan_.values.size() - 1;
  }

  std::size_t value(const std::string& name) {
    if (const auto it = index_.find(name); it != index_.end()) return it->second;
    return add_value(name, constants_.at(name)->type(), Place::constant);
  }

  Types types_of(const Node& node) {
    Types types;
    for (const auto& x : node.inputs) types.push_back(plan_.values[value(x)].type);
    return types;
  }

  Constant* constant(std::size_t v) const {
    return plan_.values[v].place == Place::constant ? constants_.at(plan_.values[v].name).get() : nullptr;
  }

  // What is known of a node's inputs when it is planned.
  struct Known {
    Types types;
    std::vector<Constant*> constants;
    std::vector<Tensor> plain;
    std::vector<const Tensor*> values;

    Inputs inputs() const { return {types, values}; }
  };

  Known known(const std::vector<std::size_t>& inputs) const {
    Known k;
    k.plain.resize(inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      k.types.push_back(plan_.values[inputs[i]].type);
      k.constants.push_back(constant(inputs[i]));
      // Only small constants say anything about shapes; large ones may exist in packed form alone.
      if (k.constants.back() && k.types.back().shape.rank() <= 1) k.plain[i] = k.constants.back()->plain();
      k.values.push_back(k.plain[i].raw() ? &k.plain[i] : nullptr);
    }
    return k;
  }

  // Why the node cannot be planned as it is; empty: it is planned.
  std::string add_step(const Node& node) {
    Step step;
    step.op = find_operator(node.type);
    step.params = step.op->parse(node.args);
    step.label = describe(node);
    for (const auto& x : node.inputs) step.inputs.push_back(value(x));
    const Known in = known(step.inputs);
    Types outputs;
    try {
      outputs = infer(*step.op, step.params, in.inputs(), node.outputs.size());
    } catch (const DeviceError&) {
      throw;  // lack of memory, which says nothing about the node
    } catch (const Error& e) {
      if (step.op->meaning(step.params, in.types.size()).empty()) throw;
      return e.what();
    }
    const std::vector<int> rows = output_rows(step, in, outputs);
    const auto is_known = [](const TensorType& t) { return t.shape.known(); };
    for (const auto& t : outputs)
      if (is_known(t)) check_size(t, options_.max_tensor_bytes);
    step.late = !std::ranges::all_of(outputs, is_known) ||
                std::ranges::any_of(step.inputs, [&](std::size_t v) { return plan_.values[v].place == Place::heap; });
    if (!step.late) step.work = work_of(*step.op, step.params, in.inputs(), outputs);
    if (!step.op->is(view) || outputs.size() > 1) {
      const bool bounded = std::ranges::any_of(rows, [](int r) { return r >= 0; }) ||
                           std::ranges::any_of(step.inputs, [&](std::size_t v) { return plan_.values[v].rows >= 0; });
      const CallSite site{in.types, outputs, in.constants, bounded, options_.context, images_};
      check<Unsupported>(!step.late || !on_device(), "has shapes that depend on data in a way that ",
                         options_.context.device,
                         " does not support; run it on the CPU, or let the passes replace it (optimize)");
      if (auto why = choose_kernel(step, site); !why.empty()) return why;
      if (on_device())
        later_.add(plan_.steps.size(), site);
      else if (!step.late)
        prepare(step, site);
    }
    add_outputs(step, node.outputs, outputs, rows);
    if (!on_device()) keep_constants(step, in.constants);
    plan_.steps.push_back(std::move(step));
    return {};
  }

  bool on_device() const { return options_.context.device.kind != Device::cpu; }

  void prepare(Step& step, const CallSite& site) const {
    step.prepared = step.kernel->prepare(*step.op, step.params, site);
    check_scratch(step);
  }

  void check_scratch(const Step& step) const { check_memory("scratch memory", step.prepared.scratch_bytes, 1); }

  // What `run` reads stays as it is, on the plan's device; of the rest the plain values are dropped at once, so that
  // plain and packed weights are never there together.
  void keep_constants(const Step& step, const std::vector<Constant*>& constants) {
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      if (constants[i] == nullptr) continue;
      if (std::ranges::find(step.prepared.packed, i) != step.prepared.packed.end())
        constants[i]->drop_plain();
      else if (on_device())
        plan_.values[step.inputs[i]].constant = constant_on(options_.context.device, *constants[i]);
      else
        plan_.values[step.inputs[i]].constant = constants[i]->plain();
    }
  }

  // The steps of a device, once all are known.
  void prepare_later() {
    later_.run(plan_.steps, options_);
    for (const auto& [step, constants] : later_.constants()) {
      check_scratch(plan_.steps[step]);
      keep_constants(plan_.steps[step], constants);
    }
  }

  void add_outputs(Step& step, const std::vector<std::string>& names, const Types& types,
                   const std::vector<int>& rows) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto v = add_value(names[i], types[i], step.late ? Place::heap : Place::arena);
      step.outputs.push_back(v);
      if (rows[i] < 0 || step.late) continue;
      plan_.values[v].rows = rows[i];
      plan_.rows[static_cast<std::size_t>(rows[i])].values.push_back(v);
    }
  }

  int add_slot(Step& step, std::int64_t most) {
    plan_.rows.push_back({most, {}});
    step.writes.push_back(plan_.rows.size() - 1);
    return static_cast<int>(step.writes.back());
  }

  static void forget_shapes(Types& types) {
    for (auto& t : types)
      for (std::size_t d = 0; d < t.shape.rank(); ++d) t.shape[d] = kUnknown;
  }

  // The row slot of each output. Shapes that depend on rows in any other way than by their first dimension being
  // those rows become unknown.
  std::vector<int> output_rows(Step& step, const Known& in, Types& outputs) {
    std::vector<int> slots(outputs.size(), -1);
    std::set<int> given;
    for (const auto v : step.inputs)
      if (plan_.values[v].rows >= 0) given.insert(plan_.values[v].rows);
    constexpr std::size_t kMostSlots = 16;  // each is an inference; of a node that reads more the run will show
    if (given.size() > kMostSlots) {
      forget_shapes(outputs);
      given.clear();
    }
    for (const int slot : given) pass_rows(step, in, slot, slots, outputs);
    if (!step.op->is(data_dependent)) return slots;
    const auto ports = ports_of(step.op->outputs, outputs.size());
    std::map<std::string_view, int> found;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto word = ports[i]->rows_found();
      if (word.empty() || !outputs[i].shape.known()) continue;
      if (ports[i]->repeated) {
        slots[i] = add_slot(step, outputs[i].shape[0]);
      } else {
        if (!found.contains(word)) found[word] = add_slot(step, outputs[i].shape[0]);
        slots[i] = found[word];
      }
    }
    return slots;
  }

  // Which outputs have the rows of this slot: those of whose shape exactly the first dimension is unknown where the
  // slot is, and which have as many rows as it where it is full.
  void pass_rows(const Step& step, const Known& in, int slot, std::vector<int>& slots, Types& outputs) const {
    Types open = in.types;
    for (std::size_t i = 0; i < open.size(); ++i)
      if (plan_.values[step.inputs[i]].rows == slot) open[i].shape[0] = kUnknown;
    Types types;
    try {
      types = infer(*step.op, step.params, {open, in.values}, outputs.size());
    } catch (const DeviceError&) {
      throw;
    } catch (const Error&) {  // it cannot say: the run will show
      types = outputs;
      forget_shapes(types);
    }
    const auto ports = ports_of(step.op->outputs, outputs.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (types[i].shape.known() || !ports[i]->rows_found().empty()) continue;
      const Shape& shape = types[i].shape;
      const bool first_alone = shape[0] == kUnknown && std::count(shape.begin(), shape.end(), kUnknown) == 1;
      const bool all = outputs[i].shape[0] == plan_.rows[static_cast<std::size_t>(slot)].most;
      if (first_alone && all && slots[i] < 0)
        slots[i] = slot;
      else
        outputs[i] = types[i];
    }
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
    int best = 0;
    for (const auto& kernel : step.op->kernels) {
      if (device_of(kernel.backend) != site.context.device.kind) continue;
      if (forced != options_.forced_kernels.end() && kernel.name != forced->second) continue;
      if (options_.low_memory && kernel.backend == Backend::winograd && forced == options_.forced_kernels.end()) {
        log(options_.log, LogLevel::debug, step.label, ": kernel ", kernel.name, " refused: low_memory");
        continue;
      }
      if (step.late) {
        step.kernel = &kernel;  // the last, which takes any call, unless one is forced
        continue;
      }
      if (step.kernel != nullptr && best >= 0 && !kernel.ranked()) continue;  // it could not be better
      if (const auto why = kernel.reject(*step.op, step.params, site); !why.empty()) {
        log(options_.log, LogLevel::debug, step.label, ": kernel ", kernel.name, " refused: ", why);
        refusals += (refusals.empty() ? "" : "; ") + kernel.name + ": " + why;
        continue;
      }
      const int rank = kernel.rank(step.params, site);
      if (rank != 0) log(options_.log, LogLevel::debug, step.label, ": kernel ", kernel.name, " has rank ", rank);
      if (step.kernel != nullptr && rank <= best) continue;
      step.kernel = &kernel;
      best = rank;
    }
    if (step.kernel == nullptr)
      return refusals.empty() ? join(step.op->type, " has no kernel for ", site.context.device) : refusals;
    return {};
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

  // How many inputs of the step lie in each memory.
  std::map<std::size_t, std::size_t> sharers(const Step& step) const {
    std::map<std::size_t, std::size_t> counts;
    for (const auto v : step.inputs) ++counts[root(v)];
    return counts;
  }

  // Whether output 0 of the step can take over the memory of its input i, which no other input shares.
  bool can_take(std::size_t s, std::size_t i, const std::map<std::size_t, std::size_t>& counts) const {
    const Step& step = plan_.steps[s];
    const std::size_t source = step.inputs[i], target = step.outputs[0];
    return plan_.values[root(source)].place == Place::arena && plan_.values[target].place == Place::arena &&
           counts.at(root(source)) == 1 && last_[root(source)] == s &&
           lies_alike(plan_.values[source].type, plan_.values[target].type) &&
           plan_.values[root(source)].type.bytes() == plan_.values[target].type.bytes();
  }

  void share_memory() {
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      const Step& step = plan_.steps[s];
      if (step.op->is(view)) {
        alias(step.outputs[0], step.inputs[0]);
      } else if (step.prepared.accumulates >= 0) {
        const auto i = static_cast<std::size_t>(step.prepared.accumulates);
        if (can_take(s, i, sharers(step))) alias(step.outputs[0], step.inputs[i]);
      } else if (step.op->is(in_place)) {
        const auto counts = sharers(step);
        for (std::size_t i = 0; i < step.inputs.size(); ++i)
          if (can_take(s, i, counts)) {
            alias(step.outputs[0], step.inputs[i]);
            break;
          }
      }
    }
  }

  void place_blocks() {
    // On a GPU steps that share no memory may be done at the same time: memory is given to another some steps later.
    constexpr std::size_t kStepsBetween = 8;
    const std::size_t between = options_.context.device.kind == Device::cpu ? 0 : kStepsBetween;
    std::vector<Block> blocks;
    std::vector<std::size_t*> offsets;
    for (std::size_t v = 0; v < plan_.values.size(); ++v) {
      PlannedValue& value = plan_.values[v];
      if (value.place != Place::arena) continue;
      blocks.push_back({static_cast<std::size_t>(value.type.bytes()), first_[v], last_[v] + between, 0});
      offsets.push_back(&value.offset);
    }
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      if (plan_.steps[s].prepared.scratch_bytes == 0) continue;
      blocks.push_back({plan_.steps[s].prepared.scratch_bytes, s, s + between, 0});
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
  DevicePreparation later_;
  std::int64_t images_ = 1;
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
    for (const auto& k : op->kernels)  // kernels for several devices may share a name
      if (std::ranges::find(known, k.name) == known.end()) known.push_back(k.name);
    check(std::ranges::find(known, name) != known.end(), "kernels: ", type, " has no kernel '", name,
          "'; known: ", list_of(known));
    forced[op->type] = name;
  }
  return forced;
}

Work work_of(const Operator& op, const Parameters& params, const Inputs& inputs, const Types& outputs) {
  Work work{op.flops(params, inputs, outputs), 0};
  for (const auto types : {inputs.types, std::span<const TensorType>(outputs)})
    for (const auto& t : types) work.bytes += t.shape.known() ? static_cast<double>(t.bytes()) : 0;
  return work;
}

std::vector<NodeProfile> unused_profile(const Plan& plan) {
  std::vector<NodeProfile> profile;
  for (const Step& step : plan.steps) {
    NodeProfile p;
    p.type = step.op->type;
    for (const auto v : step.outputs) p.outputs.emplace_back(plan.values[v].name, plan.values[v].type.shape);
    p.output = p.outputs[0].first;
    p.shape = to_string(p.outputs[0].second);
    p.kernel = step.kernel ? step.kernel->name : "view";
    if (!step.prepared.detail.empty()) p.kernel += "/" + step.prepared.detail;
    p.flops = step.work.flops;
    p.bytes = step.work.bytes;
    profile.push_back(std::move(p));
  }
  return profile;
}

void check_size(const TensorType& type, std::int64_t max_tensor_bytes) {
  check(max_tensor_bytes <= 0 || type.bytes() <= max_tensor_bytes, "a tensor of shape ", type.shape, " takes ",
        type.bytes(), " bytes, allowed are ", max_tensor_bytes, " (max_tensor_bytes)");
}

Plan make_plan(const Graph& graph, const TypeMap& input_types, const Constants& constants, const PlanOptions& options) {
  return Planner(graph, input_types, constants, options).run();
}

}  // namespace d2deploy
