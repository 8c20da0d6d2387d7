#include "operators/binary.h"
#include "operators/elementwise_cuda.h"
#include "operators/sum/sum.h"

namespace d2deploy {

namespace {

using namespace simt;

constexpr int kMostTerms = 128;

template <class T>
struct Terms {
  int count;
  const T* x[kMostTerms];
};

// Real numbers are summed in float32, and rounded once.
template <class T>
SIMT_DEVICE auto term(T x) {
  if constexpr (kReal<T>)
    return to_float(x);
  else
    return x;
}
template <class T, class S>
SIMT_DEVICE T rounded_sum(S sum) {
  if constexpr (kReal<T>)
    return from_float<T>(sum);
  else
    return sum;
}

// y may be any of the terms.
template <class T>
SIMT_KERNEL add_up(Terms<T> terms, T* y, std::int64_t count, bool aligned) {
  using V = Vector<T>;
  using S = decltype(term(T()));
  const std::int64_t vectors = aligned ? count / V::kSize : 0;
  for (std::int64_t i = first_item(); i < vectors; i += item_step()) {
    V v = reinterpret_cast<const V*>(terms.x[0])[i];
    S sums[V::kSize];
    for (int k = 0; k < V::kSize; ++k) sums[k] = term(v.values[k]);
    for (int t = 1; t < terms.count; ++t) {
      v = reinterpret_cast<const V*>(terms.x[t])[i];
      for (int k = 0; k < V::kSize; ++k) sums[k] = Plus()(sums[k], term(v.values[k]));
    }
    for (int k = 0; k < V::kSize; ++k) v.values[k] = rounded_sum<T>(sums[k]);
    reinterpret_cast<V*>(y)[i] = v;
  }
  for (std::int64_t i = vectors * V::kSize + first_item(); i < count; i += item_step()) {
    S sum = term(terms.x[0][i]);
    for (int t = 1; t < terms.count; ++t) sum = Plus()(sum, term(terms.x[t][i]));
    y[i] = rounded_sum<T>(sum);
  }
}

template <class T>
void run_typed(const Call& call) {
  const std::int64_t count = call.output(0).size();
  if (count == 0) return;
  T* y = device_out<T>(call, 0);
  Terms<T> terms{static_cast<int>(call.inputs.size()), {}};
  bool aligned = in_vectors(y, y);
  for (int i = 0; i < terms.count; ++i) {
    terms.x[i] = device_in<T>(call, static_cast<std::size_t>(i));
    aligned = aligned && in_vectors(terms.x[i], y);
  }
  launch("Sum", add_up<T>, {blocks_for(count / Vector<T>::kSize, kElementThreads), kElementThreads, 0, stream_of(call)},
         terms, y, count, aligned);
}

void run(const NoParams&, const Call& call) {
  switch (call.output(0).dtype()) {
    case DType::int32: return run_typed<std::int32_t>(call);
    case DType::int64: return run_typed<std::int64_t>(call);
    default: with_real_type(call.output(0).dtype(), [&]<class T>(T) { run_typed<T>(call); });
  }
}

std::string reject(const NoParams&, const CallSite& site) {
  return site.inputs.size() <= kMostTerms ? "" : join("takes at most ", kMostTerms, " inputs");
}

}  // namespace

template <>
Kernels<Sum> kernels<Sum, Backend::cuda>() {
  return {{.name = "vectors", .reject = reject, .run = run, .takes = Takes::any_real}};
}

}  // namespace d2deploy
