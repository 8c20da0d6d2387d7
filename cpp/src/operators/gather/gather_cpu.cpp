#include "operators/gather/gather.h"

#include <cstring>

#include "core/threads.h"
#include "kernels/axis_runs.h"

namespace d2deploy {

namespace {

template <class Index>
void gather(const Gather::Params& p, const Call& call) {
  const Tensor& x = call.input(0);
  const auto runs = axis_runs(x.type(), canonical_axis("Gather", p.axis, x.shape().rank()));
  const std::int64_t count = call.input(1).size(), size = runs.length;
  const auto* indices = call.in<Index>(1);
  for (std::int64_t i = 0; i < count; ++i) Gather::check_index(p, i, indices[i], size);
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(call.output(0).raw());
  constexpr std::int64_t kGrainBytes = 1 << 16;
  parallel_for(runs.outer * count, kGrainBytes / (runs.run_bytes + 1) + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto index = static_cast<std::int64_t>(indices[i % count]);
      const std::int64_t run = i / count * size + (index < 0 ? index + size : index);
      std::memcpy(to + i * runs.run_bytes, from + run * runs.run_bytes, static_cast<std::size_t>(runs.run_bytes));
    }
  });
}

void run(const Gather::Params& p, const Call& call) {
  if (call.output(0).size() == 0) return;
  if (call.input(1).dtype() == DType::int32)
    gather<std::int32_t>(p, call);
  else
    gather<std::int64_t>(p, call);
}

}  // namespace

template <>
Kernels<Gather> kernels<Gather, Backend::cpu>() {
  return {{"copy", accepts_all<Gather>, run}};
}

}  // namespace d2deploy
