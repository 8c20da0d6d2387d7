#include "operators/own_class/own_class.h"

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

template <class Unit>
void pick(const Call& call) {
  const Tensor& x = call.input(0);
  const std::int64_t rows = x.dim(0), classes = x.dim(1), cells = x.dim(2) * x.dim(3);
  const bool last = x.layout() == Layout::channels_last;
  const std::int64_t step = last ? classes : 1, of_class = last ? 1 : cells;
  const float* labels = call.in<float>(1);
  const auto* from = static_cast<const Unit*>(x.raw());
  auto* to = static_cast<Unit*>(call.output(0).raw());
  constexpr std::int64_t kGrain = 1 << 14;  // cells
  parallel_for(rows, kGrain / (cells + 1) + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const Unit* own = from + row * classes * cells + own_class("OwnClass", labels[row], row, classes) * of_class;
      for (std::int64_t i = 0; i < cells; ++i) to[row * cells + i] = own[i * step];
    }
  });
}

void run(const NoParams&, const Call& call) {
  check_class_of_each_row("OwnClass", call);
  with_element_bytes(call.input(0).dtype(), [&]<class Unit>(Unit) { pick<Unit>(call); });
}

}  // namespace

template <>
Kernels<OwnClass> kernels<OwnClass, Backend::cpu>() {
  return {{.name = "copy", .reject = accepts_all<OwnClass>, .run = run, .takes = Takes::any_element}};
}

}  // namespace d2deploy
