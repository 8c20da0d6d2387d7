#include "operators/binary_cuda.h"
#include "operators/div/div.h"
#include "operators/first_fault_cuda.h"

namespace d2deploy {

namespace {

struct Quotient {
  SIMT_DEVICE float operator()(float a, float b) const { return a / b; }
  template <class T>
  SIMT_DEVICE T operator()(T a, T b) const {
    if (b == 0) return 0;  // a fault, found before
    return b == -1 ? Minus()(T{0}, a) : a / b;
  }
};

template <class T>
struct Divisors {
  simt::DeviceLoops loops;
  DeviceRows rows;
  std::int64_t row_size;
  const T* b;

  SIMT_DEVICE std::int64_t places() const { return rows.count() * row_size; }
  SIMT_DEVICE bool is_fault(std::int64_t i) const {
    std::int64_t in_a, in_b;
    loops.find(i, in_a, in_b);
    return b[in_b] == 0;
  }
  SIMT_DEVICE DeviceFault fault(std::int64_t) const { return {1}; }
};

// The rows of the output: those of an operand that has as many dimensions and rows.
DeviceRows output_rows(const Call& call) {
  const Shape& c = call.output(0).shape();
  if (c.rank() == 0) return {1};
  for (std::size_t i = 0; i < 2; ++i)
    if (call.input(i).shape().rank() == c.rank() && call.input(i).dim(0) == c[0]) return rows_of_input(call, i);
  return {c[0]};
}

template <class T>
void run_integers(const BinaryParams& p, const Call& call) {
  const std::int64_t count = call.output(0).size();
  if (count == 0) return;
  const DeviceRows rows = output_rows(call);
  launch_find_first_fault(
      "Div: find_first_fault", call,
      Divisors<T>{simt::DeviceLoops(binary_loops("Div", p, call)), rows, count / rows.most, device_in<T>(call, 1)});
  launch_binary<T>("Div", p, call, Quotient());
}

void run(const BinaryParams& p, const Call& call) {
  switch (call.output(0).dtype()) {
    case DType::int32: return run_integers<std::int32_t>(p, call);
    case DType::int64: return run_integers<std::int64_t>(p, call);
    default:
      with_real_type(call.output(0).dtype(),
                     [&]<class T>(T) { launch_binary<T>("Div", p, call, InFloat<Quotient>{}); });
  }
}

void report(const BinaryParams&, const CallSite&, const DeviceFault&) { Div::check_divisor(false); }

}  // namespace

template <>
Kernels<Div> kernels<Div, Backend::cuda>() {
  return {{.name = "spread", .reject = accepts_all<Div>, .run = run, .report = report, .takes = Takes::any_real}};
}

}  // namespace d2deploy
