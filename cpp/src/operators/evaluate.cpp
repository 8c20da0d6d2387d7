#include "operators/evaluate.h"

#include "core/memory.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

Types types_of(const std::vector<Tensor>& tensors) {
  Types types;
  for (const auto& t : tensors) types.push_back(t.type());
  return types;
}

std::vector<const Tensor*> pointers(const std::vector<Tensor>& tensors) {
  std::vector<const Tensor*> out;
  for (const auto& t : tensors) out.push_back(&t);
  return out;
}

Types infer_types(const Operator& op, const Parameters& params, const Types& types, const std::vector<Tensor>& inputs) {
  const auto values = pointers(inputs);
  return infer_all(op, params, {types, values});
}

}  // namespace

Evaluation::Evaluation(const Operator& op, const Args& args, std::vector<Tensor> inputs, std::vector<bool> constant,
                       std::int64_t capacity_rows)
    : op_(op), params_(op.parse(args)), inputs_(std::move(inputs)), input_types_(types_of(inputs_)) {
  output_types_ = infer_types(op, params_, input_types_, inputs_);
  planned_inputs_ = input_types_;
  planned_outputs_ = output_types_;
  constant.resize(inputs_.size());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    constants_.push_back(constant[i] ? std::make_unique<Constant>(inputs_[i]) : nullptr);
    constant_pointers_.push_back(constants_.back().get());
  }
  if (capacity_rows >= 0) {
    bounded_ = true;
    const std::int64_t rows = input_types_[0].shape[0];
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      if (!constant[i] && input_types_[i].shape.rank() > 0 && input_types_[i].shape[0] == rows)
        planned_inputs_[i].shape[0] = capacity_rows;
    planned_outputs_ = infer_types(op, params_, planned_inputs_, inputs_);
  }
}

CallSite Evaluation::site() const {
  return {planned_inputs_, planned_outputs_, constant_pointers_, bounded_, {{}, nullptr, thread_count()}};
}

const Kernel& Evaluation::portable() const {
  check<InternalError>(!op_.kernels.empty(), op_.type, " has no kernel");
  std::string why;
  for (auto k = op_.kernels.rbegin(); k != op_.kernels.rend(); ++k)
    if (why = reject(*k); why.empty()) return *k;
  fail<Unsupported>(op_.type, ": no portable kernel takes this call: ", why);
}

std::string Evaluation::reject(const Kernel& kernel) const {
  if (device_of(kernel.backend) != Device::cpu) return "it runs on a GPU";
  return kernel.reject(op_, params_, site());
}

void Evaluation::prepare(const Kernel& kernel) {
  kernel_ = &kernel;
  prepared_ = kernel.prepare(op_, params_, site());
  scratch_ = allocate(prepared_.scratch_bytes);
}

void Evaluation::run(std::vector<Tensor>& outputs) {
  auto in = pointers(inputs_);
  for (const auto i : prepared_.packed) in[i] = nullptr;  // a kernel that reads what it said it would not crashes here
  std::vector<Tensor*> out;
  for (auto& t : outputs) out.push_back(&t);
  Call call{site().context, in, out, {}, {}, scratch_.get(), prepared_.state.get()};
  kernel_->run(params_, call);
}

std::vector<Tensor> evaluate(const Operator& op, const Args& args, const std::vector<Tensor>& inputs) {
  Evaluation evaluation(op, args, inputs);
  const Types& types = evaluation.output_types();
  std::vector<Tensor> outputs;
  if (op.is(view)) outputs.push_back(inputs.at(0).with_type(types[0]));
  while (outputs.size() < types.size()) outputs.push_back(Tensor::allocate(types[outputs.size()]));
  if (op.is(view) && types.size() == 1) return outputs;
  evaluation.prepare(evaluation.portable());
  evaluation.run(outputs);
  return outputs;
}

}  // namespace d2deploy
