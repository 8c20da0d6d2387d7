#include "io/init_net.h"

#include <optional>

#include "core/log.h"
#include "core/threads.h"
#include "io/faults.h"
#include "io/file.h"

namespace d2deploy {

InitNet::InitNet(const NetIndex& net, const ReadOptions& options) : net_(net), options_(options) {
  check_operators();
  find_blobs();
}

void InitNet::check_operators() const {
  Faults unsupported, wrong;
  for (std::size_t i = 0; i < net_.operators.size(); ++i) {
    const OperatorHead& op = net_.operators[i];
    const InitOperator kind = init_operator(op.type);
    if (kind == InitOperator::unsupported) {
      const auto why = why_unsupported(op.type);
      unsupported.add(describe(net_, i), why.empty() ? "" : ": ", why);
      continue;
    }
    if (op.outputs.size() != 1) wrong.add(describe(net_, i), ": has ", op.outputs.size(), " outputs, wanted 1");
    if (kind == InitOperator::copy && op.inputs.size() != 1)
      wrong.add(describe(net_, i), ": has ", op.inputs.size(), " inputs, wanted 1");
  }
  unsupported.throw_if_any<Unsupported>(
      net_.file +
      ": an init net may hold GivenTensor(Int, Int64, Double, Bool)Fill, ConstantFill "
      "and Copy alone, found");
  wrong.throw_if_any<InvalidModel>(net_.file);
}

void InitNet::find_blobs() {
  Faults faults;
  for (std::size_t i = 0; i < net_.operators.size(); ++i) {
    const OperatorHead& op = net_.operators[i];
    for (const auto x : op.inputs)
      if (!blobs_.contains(x))
        faults.add(describe(net_, i), ": source for input ", in_quotes(x), " is unknown: no operator before makes it");
    if (!blobs_.emplace(op.outputs[0]).second)
      log(options_.log, LogLevel::warning, net_.file, ": ", describe(net_, i), ": blob ", in_quotes(op.outputs[0]),
          " is made again; the last one counts");
  }
  faults.throw_if_any<InvalidModel>(net_.file);
}

// From the last operator to the first: an operator is needed where its output is wanted by what comes after it.
std::vector<bool> InitNet::needed_for(std::set<std::string, std::less<>> wanted) const {
  std::vector<bool> needed(net_.operators.size());
  for (std::size_t i = needed.size(); i-- > 0;) {
    const OperatorHead& op = net_.operators[i];
    const auto it = wanted.find(op.outputs[0]);
    if (it == wanted.end()) continue;
    needed[i] = true;
    wanted.erase(it);
    wanted.insert(op.inputs.begin(), op.inputs.end());
  }
  return needed;
}

void InitNet::copy(const std::vector<PendingCopy>& pending) const {
  parallel_for(static_cast<std::int64_t>(pending.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      const auto& [run, values] = pending[static_cast<std::size_t>(i)];
      run.copy_to(values);
    }
  });
  if (net_.memory == nullptr) return;
  // What lies between the tensors that stay in the file is not needed any more.
  const std::byte* free = net_.bytes.data();
  for (const auto& [run, values] : pending) {
    const auto* place = reinterpret_cast<const std::byte*>(values);
    if (place != run.aligned_place()) continue;
    release_pages({free, place});
    free = place + run.size() * sizeof(float);
  }
  release_pages({free, net_.bytes.data() + net_.bytes.size()});
}

std::map<std::string, Tensor> InitNet::read(const std::set<std::string, std::less<>>& wanted) const {
  const std::vector<bool> needed = needed_for(wanted);
  std::map<std::string, Tensor, std::less<>> made;
  const Lookup lookup = [&](std::string_view blob) -> const Tensor& {
    const auto it = made.find(blob);
    check<InvalidModel>(it != made.end(), "blob ", in_quotes(blob), " could not be made");
    return it->second;
  };
  Limits limits{options_.max_tensor_bytes, options_.max_tensor_bytes};
  Faults faults;
  std::vector<PendingCopy> pending;
  for (std::size_t i = 0; i < needed.size(); ++i) {
    if (!needed[i]) continue;
    const OperatorHead& op = net_.operators[i];
    with_context([&] { return net_.file + ": " + describe(net_, i); },
                 [&] {
                   try {
                     made.insert_or_assign(std::string(op.outputs[0]),
                                           read_fill(net_, i, lookup, limits, pending, options_.log));
                   } catch (const InvalidModel& e) {
                     faults.add(describe(net_, i), ": ", e.what());
                   }
                 });
  }
  faults.throw_if_any<InvalidModel>(net_.file);
  copy(pending);
  std::map<std::string, Tensor> values;
  for (const auto& blob : wanted) values.emplace(blob, made.find(blob)->second);
  return values;
}

}  // namespace d2deploy
