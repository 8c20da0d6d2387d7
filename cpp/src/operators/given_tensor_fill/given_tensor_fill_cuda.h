// The kernel for GPUs of all fills that hold their values.
#pragma once
#include <bit>

#include "operators/given_tensor_fill/given_tensor_fill.h"
#include "operators/write_numbers_cuda.h"

namespace d2deploy {

/// The values travel as parameters of kernels, some hundred at once. Seldom needed: what never changes is folded.
inline void run_given_tensor_on_device(const char* type, const GivenTensorParams& p, const Call& call) {
  if (const auto* floats = std::get_if<Floats>(&p.values)) {  // as their bits
    NumberWriter<std::uint32_t> numbers(type, stream_of(call),
                                        reinterpret_cast<std::uint32_t*>(device_out<float>(call, 0)));
    for (const float v : *floats) numbers.add(std::bit_cast<std::uint32_t>(v));
    return numbers.run();
  }
  with_element_type(call.output(0).dtype(), [&]<class T>(T) {
    if constexpr (!kReal<T> || std::is_same_v<T, float>) {  // no fill makes the others
      NumberWriter<T> numbers(type, stream_of(call), device_out<T>(call, 0));
      for (const auto v : std::get<Ints>(p.values)) {
        (void)to_element<T>(type, v);
        numbers.add(v);
      }
      numbers.run();
    }
  });
}

template <class Op>
Kernels<Op> given_tensor_fill_cuda_kernels() {
  return {{"tables", accepts_all<Op>, [](const GivenTensorParams& p, const Call& call) {
             run_given_tensor_on_device(Op::signature.type, p, call);
           }}};
}

}  // namespace d2deploy
