#include <cstring>

#include "core/threads.h"
#include "operators/concat/concat.h"

namespace d2deploy {

namespace {

// The dimensions in the order in which they lie in memory.
Shape physical(const TensorType& type) {
  const Shape& s = type.shape;
  if (type.layout == Layout::row_major) return s;
  return {s[0], s[2], s[3], s[1]};
}

std::size_t physical_axis(const TensorType& type, std::size_t axis) {
  constexpr std::size_t kChannelsLast[] = {0, 3, 1, 2};
  return type.layout == Layout::row_major ? axis : kChannelsLast[axis];
}

// A tensor is `outer` chunks of bytes that each go to one place in Y: `stride` bytes from the last one.
void copy_chunks(const std::byte* x, std::byte* y, std::int64_t outer, std::int64_t chunk, std::int64_t stride) {
  constexpr std::int64_t kGrainBytes = 1 << 17;
  if (chunk == stride) {  // one solid block: split anywhere
    parallel_for(outer * chunk, kGrainBytes, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(y + begin, x + begin, static_cast<std::size_t>(end - begin));
    });
    return;
  }
  if (outer == 1) stride = chunk;
  if (chunk >= 2 * kGrainBytes) {
    for (std::int64_t o = 0; o < outer; ++o) copy_chunks(x + o * chunk, y + o * stride, 1, chunk, chunk);
    return;
  }
  parallel_for(outer, std::max<std::int64_t>(1, kGrainBytes / chunk), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o)
      std::memcpy(y + o * stride, x + o * chunk, static_cast<std::size_t>(chunk));
  });
}

void run(const Concat::Params& p, const Call& call) {
  Tensor& out = call.output(0);
  const Shape dims = physical(out.type());
  const auto axis = physical_axis(out.type(), Concat::axis(p, dims.rank()));
  const std::int64_t outer = dims.size(0, axis);
  const auto inner = dims.size(axis + 1, dims.rank()) * static_cast<std::int64_t>(size_of(out.dtype()));
  const std::int64_t stride = dims[axis] * inner;
  auto* y = static_cast<std::byte*>(out.raw());
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const std::int64_t length = physical(call.input(i).type())[axis], chunk = length * inner;
    if (chunk > 0 && outer > 0)
      copy_chunks(static_cast<const std::byte*>(call.input(i).raw()), y, outer, chunk, stride);
    y += chunk;
    if (call.has_output(1)) call.out<std::int32_t>(1)[i] = static_cast<std::int32_t>(length);
  }
}

}  // namespace

template <>
Kernels<Concat> kernels<Concat, Backend::cpu>() {
  return {{"copy", accepts_all<Concat>, run}};
}

}  // namespace d2deploy
