// CUDA's execution model on the host, for tests: blocks run one after another, the threads of a block as fibers.
//
// A thread runs until it waits (at __syncthreads, or in an operation of its warp); then the next one does. What is
// undefined on a device is an InternalError here: threads that wait for others that never come or that stand at another
// barrier, lanes that read from lanes that do not take part, more threads or memory than there are. Shared memory is
// fresh for every block and full of NaN. AddressSanitizer finds accesses out of its bounds, too; for ThreadSanitizer
// every thread is one of its own, so that a missing barrier is a data race. Elsewhere that shows by the order in which
// threads run: see OrderScope.
#pragma once
#include <atomic>
#include <bit>
#include <concepts>
#include <cstring>
#include <source_location>
#include <tuple>
#include <type_traits>

#include "core/emulated_stream.h"

#define SIMT_KERNEL [[maybe_unused]] static void
#define SIMT_DEVICE
// One variable per site, as `static` would give, but fresh for every block.
#define SIMT_SHARED(T, name, count)             \
  static const char name##_shared_by_block = 0; \
  T(&name)[count] = ::d2deploy::simt::host::shared<T, count>(&name##_shared_by_block)

namespace d2deploy::simt {

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};
// Of the thread that runs. A block never leaves the thread of the host that launched it.
inline constinit thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

using Stream = void*;

struct Grid {
  dim3 blocks, threads;
  std::size_t shared_bytes = 0;
  Stream stream = nullptr;
};

namespace host {

/// In which order the threads of a block run between barriers. Answers must not depend on it.
enum class Order { forward, backward, shuffled };

/// Sets the order for what the calling thread of the host launches, and restores the old one at the end.
class OrderScope {
 public:
  explicit OrderScope(Order order);
  ~OrderScope();
  OrderScope(const OrderScope&) = delete;
  OrderScope& operator=(const OrderScope&) = delete;

 private:
  Order before_;
};

// What simt_host.cpp does for the names below.
using Site = std::source_location;

void run(const char* name, const Grid& grid, void (*thread)(const void* arguments), const void* arguments);
void* shared_memory(const void* variable, std::size_t bytes);
void* dynamic_shared_memory();
void barrier(const Site& site);
unsigned lane();

/// What a lane brings to an operation of its warp. It gets the value of lane `source` as `value`, and which lanes of
/// `mask` brought another one than 0 as `ballot`.
struct Exchange {
  const char* operation = "";
  unsigned mask = 0, source = 0, ballot = 0;
  std::uint64_t value = 0;
  bool orders_memory = false;
};
Exchange exchange(const Exchange& mine, const Site& site);

template <class T>
T shuffle(const char* operation, unsigned mask, T x, unsigned source, const Site& site) {
  static_assert(std::is_arithmetic_v<T>);
  Exchange mine{operation, mask, source};
  std::memcpy(&mine.value, &x, sizeof(T));
  mine = host::exchange(mine, site);
  std::memcpy(&x, &mine.value, sizeof(T));
  return x;
}

template <class T, std::size_t count>
T (&shared(const void* variable))
[count] {
  static_assert(std::is_trivially_copyable_v<T>);
  return *static_cast<T(*)[count]>(shared_memory(variable, sizeof(T[count])));
}

// The types that CUDA's atomics take.
template <class T>
concept AtomicInteger = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;
template <class T>
concept AtomicNumber = AtomicInteger<T> || std::same_as<T, float>;

}  // namespace host

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(host::dynamic_shared_memory());
}

template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), const Grid& grid, A&&... arguments) {
  static_assert((std::is_trivially_copyable_v<P> && ...), "a kernel's parameters are plain values and pointers");
  // By value, as a GPU takes them: a recorded launch comes later.
  const auto thread = [kernel, values = std::tuple<P...>(static_cast<P>(arguments)...)] { std::apply(kernel, values); };
  const EmulatedLaunch what{name,
                            {grid.blocks.x, grid.blocks.y, grid.blocks.z, grid.threads.x, grid.threads.y,
                             grid.threads.z, static_cast<std::int64_t>(grid.shared_bytes)}};
  submit_launch(grid.stream, what, [=] {
    host::run(
        name, grid, [](const void* p) { (*static_cast<const decltype(thread)*>(p))(); }, &thread);
  });
}

// ---- CUDA's own names ----------------------------------------------------------------------------

inline void __syncthreads(host::Site site = host::Site::current()) { host::barrier(site); }

/// The only operation of a warp that orders accesses to memory.
inline void __syncwarp(unsigned mask = kAllLanes, host::Site site = host::Site::current()) {
  host::Exchange mine{"__syncwarp", mask, host::lane()};
  mine.orders_memory = true;
  (void)host::exchange(mine, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, host::Site site = host::Site::current()) {
  host::Exchange mine{"__ballot_sync", mask, host::lane()};
  mine.value = predicate != 0 ? 1 : 0;
  return host::exchange(mine, site).ballot;
}
template <class T>
T __shfl_sync(unsigned mask, T x, int source, host::Site site = host::Site::current()) {
  return host::shuffle("__shfl_sync", mask, x, static_cast<unsigned>(source) % kWarp, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T x, int lanes, host::Site site = host::Site::current()) {
  return host::shuffle("__shfl_xor_sync", mask, x, host::lane() ^ static_cast<unsigned>(lanes), site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T x, unsigned lanes, host::Site site = host::Site::current()) {
  const unsigned own = host::lane();
  return host::shuffle("__shfl_up_sync", mask, x, own >= lanes ? own - lanes : own, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T x, unsigned lanes, host::Site site = host::Site::current()) {
  const unsigned own = host::lane();
  return host::shuffle("__shfl_down_sync", mask, x, own + lanes < kWarp ? own + lanes : own, site);
}

// Atomics order no other access: ThreadSanitizer reads that from memory_order_relaxed.
template <host::AtomicNumber T>
T atomicAdd(T* p, std::type_identity_t<T> x) {
  return std::atomic_ref(*p).fetch_add(x, std::memory_order_relaxed);
}
template <host::AtomicInteger T>
T atomicOr(T* p, std::type_identity_t<T> x) {
  return std::atomic_ref(*p).fetch_or(x, std::memory_order_relaxed);
}
template <host::AtomicInteger T>
T atomicMin(T* p, std::type_identity_t<T> x) {
  const std::atomic_ref target(*p);
  T before = target.load(std::memory_order_relaxed);
  while (x < before && !target.compare_exchange_weak(before, x, std::memory_order_relaxed)) continue;
  return before;
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffsll(long long x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1; }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }

}  // namespace d2deploy::simt
