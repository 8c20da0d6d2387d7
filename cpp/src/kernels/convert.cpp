#include "kernels/convert.h"

#include <bit>

#include "core/check.h"
#include "core/element_type.h"
#include "core/threads.h"
#include "kernels/convert_loops.h"
#include "kernels/instruction_sets.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kGrain = 1 << 15;

template <class Q>
void quantise(const float* x, float inverse, std::int64_t count, Q* y) {
  const float least = std::is_signed_v<Q> ? -127.0F : 0.0F, most = most_quanta(kDType<Q>);
  // Adding 1.5 * 2^23 leaves the rounded number in the low bits: compilers make vectors of that, not of lrint.
  constexpr float kShift = 12582912.0F;
  for (std::int64_t i = 0; i < count; ++i) {
    const float v = x[i] * inverse;
    const float number = v == v ? v : 0.0F;
    const float low = number > least ? number : least;
    const float inside = low < most ? low : most;
    y[i] = static_cast<Q>(std::bit_cast<std::int32_t>(inside + kShift) - std::bit_cast<std::int32_t>(kShift));
  }
}

template <class Q>
void dequantise(const Q* x, float scale, std::int64_t count, float* y) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = scale * static_cast<float>(x[i]);
}

template <class From, class To>
void convert_real(const From* x, std::int64_t count, To* y) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = static_cast<To>(static_cast<float>(x[i]));
}

constexpr ConvertLoops kPlain{"plain", quantise<std::uint8_t>, quantise<std::int8_t>, convert_real<float, BFloat16>};

// loop(x, count, y) on parts of both.
template <class From, class To, class Loop>
void in_parts(const void* x, void* y, std::int64_t count, const Loop& loop) {
  const auto* source = static_cast<const From*>(x);
  auto* target = static_cast<To*>(y);
  parallel_for(count, kGrain,
               [&](std::int64_t begin, std::int64_t end) { loop(source + begin, end - begin, target + begin); });
}

}  // namespace

AllConvertLoops all_convert_loops() {
  AllConvertLoops all{};
#if defined(__x86_64__)
  if (has_avx512()) all.loops[all.count++] = convert_loops_avx512();
  if (has_avx2()) all.loops[all.count++] = convert_loops_avx2();
#endif
  all.loops[all.count++] = kPlain;
  return all;
}

void convert(DType from, const void* x, DType to, void* y, std::int64_t count) {
  check<InternalError>(is_real(from) && is_real(to), "convert: takes real numbers, got ", from, " and ", to);
  if (from == DType::float32 && to == DType::bfloat16)
    return in_parts<float, BFloat16>(x, y, count, all_convert_loops().loops[0].narrow);
  with_real_type(from, [&]<class From>(From) {
    with_real_type(to, [&]<class To>(To) { in_parts<From, To>(x, y, count, convert_real<From, To>); });
  });
}

void convert(const Tensor& x, Tensor& y) {
  const bool from = is_quantised(x.type()), to = is_quantised(y.type());
  if (!from && !to) return convert(x.dtype(), x.raw(), y.dtype(), y.raw(), x.size());
  const DType real = from ? y.dtype() : x.dtype();
  check<InternalError>(real == DType::float32, "convert: quantised numbers come from float32 and become it, not ",
                       real);
  const TensorType& type = from ? x.type() : y.type();
  check<InternalError>(size_of(type.dtype) == 1, "quantised numbers are int8 or uint8, got ", type.dtype);
  const ConvertLoops loops = all_convert_loops().loops[0];
  const auto run = [&]<class Q>(auto quantise_row, Q) {
    if (from)
      in_parts<Q, float>(x.raw(), y.raw(), x.size(), [&](const Q* source, std::int64_t n, float* target) {
        dequantise(source, type.scale, n, target);
      });
    else
      in_parts<float, Q>(x.raw(), y.raw(), x.size(), [&](const float* source, std::int64_t n, Q* target) {
        quantise_row(source, 1 / type.scale, n, target);
      });
  };
  if (type.dtype == DType::uint8) return run(loops.quantise_u8, std::uint8_t());
  run(loops.quantise_i8, std::int8_t());
}

}  // namespace d2deploy
