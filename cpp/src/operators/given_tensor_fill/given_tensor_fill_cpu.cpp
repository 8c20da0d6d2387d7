#include "operators/given_tensor_fill/given_tensor_fill_cpu.h"

namespace d2deploy {

namespace {

template <class T>
void copy(const char* type, const Arg& values, T* y) {
  if (const auto* floats = std::get_if<Floats>(&values))
    std::transform(floats->begin(), floats->end(), y, [](float v) { return static_cast<T>(v); });
  else
    for (const auto v : std::get<Ints>(values)) *y++ = to_element<T>(type, v);
}

}  // namespace

Types infer_given_tensor(const char* type, const GivenTensorParams& p, DType dtype) {
  const auto* floats = std::get_if<Floats>(&p.values);
  const auto* ints = std::get_if<Ints>(&p.values);
  check<InvalidModel>(ints != nullptr || (floats != nullptr && dtype == DType::float32), type,
                      ": values must be a list of ", dtype == DType::float32 ? "numbers" : "integers");
  const TensorType y{dtype, fill_shape<InvalidModel>(type, p.shape), Layout::row_major};
  const auto count = static_cast<std::int64_t>(floats != nullptr ? floats->size() : ints->size());
  check<InvalidModel>(y.shape.size() == count, type, ": shape ", y.shape, " needs ", y.shape.size(), " values, got ",
                      count);
  return {y};
}

void run_given_tensor(const char* type, const GivenTensorParams& p, const Call& call) {
  with_element_type(call.output(0).dtype(), [&]<class T>(T) { copy(type, p.values, call.out<T>(0)); });
}

}  // namespace d2deploy
