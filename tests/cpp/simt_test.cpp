// CUDA's execution model on the host: right kernels give right answers whatever the order of their threads, and what is
// undefined on a device is found.
#include "kernels/simt/simt.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "d2deploy/error.h"
#include "message_of.h"

namespace d2deploy {

namespace {

using namespace simt;
using simt::host::Order;
using simt::host::OrderScope;

constexpr Order kOrders[] = {Order::forward, Order::backward, Order::shuffled};

// ---- Kernels that are right ------------------------------------------------------------------------

SIMT_KERNEL count_visits(int* visits) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  atomicAdd(&visits[block * (blockDim.x * blockDim.y * blockDim.z) + thread], 1);
}

SIMT_KERNEL doubled(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) y[i] = 2 * x[i];
}

SIMT_DEVICE float warp_sum(float x) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(kAllLanes, x, lanes);
  return x;
}

// The sum over a block whose size is a multiple of kWarp; every thread gets it.
SIMT_DEVICE float block_sum(float x) {
  SIMT_SHARED(float, partial, kWarp);
  const unsigned warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, warps = blockDim.x / kWarp;
  x = warp_sum(x);
  if (lane == 0) partial[warp] = x;
  __syncthreads();
  if (warp == 0) {
    const float sum = warp_sum(lane < warps ? partial[lane] : 0.0F);
    if (lane == 0) partial[0] = sum;
  }
  __syncthreads();
  const float sum = partial[0];
  __syncthreads();  // the next call writes it again
  return sum;
}

SIMT_KERNEL row_sums(const float* x, float* y, int columns) {
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += static_cast<int>(blockDim.x))
    sum += x[std::int64_t{blockIdx.x} * columns + i];
  const float once = block_sum(sum), twice = block_sum(2 * sum);
  if (threadIdx.x == 0) y[blockIdx.x] = twice - once;
}

SIMT_KERNEL histogram(const unsigned* x, int count, int bins, int* y) {
  int* own = dynamic_shared<int>();
  for (int i = static_cast<int>(threadIdx.x); i < bins; i += static_cast<int>(blockDim.x)) own[i] = 0;
  __syncthreads();
  for (std::int64_t i = first_item(); i < count; i += item_step())
    atomicAdd(&own[x[i] % static_cast<unsigned>(bins)], 1);
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < bins; i += static_cast<int>(blockDim.x))
    if (own[i] != 0) atomicAdd(&y[i], own[i]);
}

// Mirrors a row through memory that the lanes of each warp share, without a barrier of the block.
SIMT_KERNEL mirror_by_warp(const int* x, int* y) {
  SIMT_SHARED(int, tile, kMostThreads);
  const unsigned first = threadIdx.x / kWarp * kWarp, lane = threadIdx.x % kWarp;
  tile[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  y[threadIdx.x] = tile[first + kWarp - 1 - lane];
}

SIMT_KERNEL extremes(const int* x, int count, int* least, unsigned* bits, unsigned long long* total) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    atomicMin(least, x[i]);
    atomicOr(bits, 1U << (x[i] & 31));
    atomicAdd(total, static_cast<unsigned long long>(x[i]));
  }
}

struct Lanes {
  int index, from_3, up, down, turned, half;
  unsigned odd;
};
SIMT_KERNEL lane_operations(Lanes* y) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  Lanes& mine = y[threadIdx.x];
  mine.index = lane;
  mine.from_3 = __shfl_sync(kAllLanes, 10 * lane, 3);
  mine.up = __shfl_up_sync(kAllLanes, lane, 2);
  mine.down = __shfl_down_sync(kAllLanes, lane, 2);
  mine.turned = __shfl_xor_sync(kAllLanes, lane, 1);
  mine.odd = __ballot_sync(kAllLanes, lane % 2);
  // Two halves that go their own ways.
  mine.half = lane < 16 ? __shfl_sync(0x0000FFFFU, lane, 5) : __shfl_sync(0xFFFF0000U, lane, 20);
}

SIMT_KERNEL some_leave_early(int* y) {
  SIMT_SHARED(int, sum, 1);
  if (threadIdx.x >= 20) return;
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  atomicAdd(&sum[0], 1);
  __syncthreads();
  y[threadIdx.x] = sum[0];
}

// What shared memory holds before anybody writes it.
SIMT_KERNEL unwritten(float* y) {
  SIMT_SHARED(float, tile, 4);
  float* more = dynamic_shared<float>();
  y[2 * blockIdx.x] = tile[threadIdx.x];
  y[2 * blockIdx.x + 1] = more[threadIdx.x];
  tile[threadIdx.x] = more[threadIdx.x] = 1;
}

TEST(Simt, RunsEveryThreadOfEveryBlockOnce) {
  for (const auto order : kOrders) {
    const OrderScope scope(order);
    std::vector<int> visits(std::size_t{2} * 3 * 4 * 5 * 3 * 2);
    launch("count_visits", count_visits, {dim3(2, 3, 4), dim3(5, 3, 2)}, visits.data());
    EXPECT_EQ(visits, std::vector<int>(visits.size(), 1));
  }
}

TEST(Simt, LoopsOverItemsWhateverTheirNumber) {
  for (const std::int64_t count : {1, 63, 64, 65, 1000}) {
    std::vector<float> x(static_cast<std::size_t>(count)), y(x.size()), wanted(x.size());
    std::iota(x.begin(), x.end(), 1.0F);
    for (std::size_t i = 0; i < x.size(); ++i) wanted[i] = 2 * x[i];
    launch("doubled", doubled, {blocks_for(count, 64), 64}, x.data(), y.data(), count);
    EXPECT_EQ(y, wanted) << count;
    std::ranges::fill(y, 0.0F);
    launch("doubled", doubled, {1, 32}, x.data(), y.data(), count);
    EXPECT_EQ(y, wanted) << count << ", few threads";
  }
  EXPECT_EQ(blocks_for(0, 64), 1U);
  EXPECT_EQ(blocks_for(65, 64), 2U);
  EXPECT_LE(blocks_for(std::int64_t{1} << 40, 64), 65535U);
}

TEST(Simt, SumsOverBlocks) {
  constexpr int kRows = 3, kColumns = 1000;
  std::vector<float> x(std::size_t{kRows} * kColumns);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) - 5;  // sums are exact
  for (const auto order : kOrders)
    for (const unsigned threads : {32U, 96U, 320U}) {
      const OrderScope scope(order);
      std::vector<float> y(kRows);
      launch("row_sums", row_sums, {kRows, threads}, x.data(), y.data(), kColumns);
      for (int r = 0; r < kRows; ++r)
        EXPECT_EQ(y[static_cast<std::size_t>(r)], std::accumulate(&x[r * kColumns], &x[r * kColumns] + kColumns, 0.0F));
    }
}

TEST(Simt, AddsUpAtomically) {
  constexpr int kCount = 5000, kBins = 37;
  std::vector<unsigned> x(kCount);
  std::vector<int> wanted(kBins);
  for (unsigned i = 0; i < kCount; ++i) ++wanted[(x[i] = i * 2654435761U) % kBins];
  for (const auto order : kOrders) {
    const OrderScope scope(order);
    std::vector<int> y(kBins);
    launch("histogram", histogram, {3, 96, kBins * sizeof(int)}, x.data(), kCount, kBins, y.data());
    EXPECT_EQ(y, wanted);
  }
  const std::vector<int> values{7, 3, 9, 3, 31, 12};
  int least = 100;
  unsigned bits = 0;
  unsigned long long total = 0;
  launch("extremes", extremes, {2, 4}, values.data(), static_cast<int>(values.size()), &least, &bits, &total);
  EXPECT_EQ(least, 3);
  EXPECT_EQ(bits, 1U << 7 | 1U << 3 | 1U << 9 | 1U << 31 | 1U << 12);
  EXPECT_EQ(total, 65U);
}

TEST(Simt, LanesOfAWarpExchange) {
  for (const auto order : kOrders) {
    const OrderScope scope(order);
    std::vector<Lanes> y(64);
    launch("lane_operations", lane_operations, {1, 64}, y.data());
    for (const Lanes& l : y) {
      EXPECT_EQ(l.from_3, 30);
      EXPECT_EQ(l.up, l.index < 2 ? l.index : l.index - 2);
      EXPECT_EQ(l.down, l.index > 29 ? l.index : l.index + 2);
      EXPECT_EQ(l.turned, l.index ^ 1);
      EXPECT_EQ(l.odd, 0xAAAAAAAAU);
      EXPECT_EQ(l.half, l.index < 16 ? 5 : 20);
    }
    std::vector<int> x(96), mirrored(96);
    std::iota(x.begin(), x.end(), 0);
    launch("mirror_by_warp", mirror_by_warp, {1, 96}, x.data(), mirrored.data());
    for (int i = 0; i < 96; ++i) EXPECT_EQ(mirrored[static_cast<std::size_t>(i)], i / 32 * 32 + 31 - i % 32);
  }
}

TEST(Simt, DoesNotWaitForThreadsThatEnded) {
  std::vector<int> y(32);
  launch("some_leave_early", some_leave_early, {1, 32}, y.data());
  EXPECT_EQ(y[0], 20);
  EXPECT_EQ(y[19], 20);
  EXPECT_EQ(y[20], 0);
}

TEST(Simt, SharedMemoryIsFreshForEveryBlock) {
  std::vector<float> y(6, 0.0F);
  launch("unwritten", unwritten, {3, 1, 4 * sizeof(float)}, y.data());
  for (const float v : y) EXPECT_TRUE(std::isnan(v)) << v;
}

TEST(Simt, ThreadsOfTheHostLaunchAtOnce) {
  constexpr int kRows = 40, kColumns = 100;
  const std::vector<float> x(std::size_t{kRows} * kColumns, 1.0F);
  std::vector<std::vector<float>> y(4, std::vector<float>(kRows));
  std::vector<std::thread> threads;
  for (auto& mine : y)
    threads.emplace_back([&] { launch("row_sums", row_sums, {kRows, 64}, x.data(), mine.data(), kColumns); });
  for (auto& t : threads) t.join();
  for (const auto& mine : y) EXPECT_EQ(mine, std::vector<float>(kRows, kColumns));
}

// ---- Faults that are found everywhere --------------------------------------------------------------

SIMT_KERNEL missing_barrier(const float* x, float* y) {
  SIMT_SHARED(float, tile, 64);
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile[63 - threadIdx.x];
}

SIMT_KERNEL divergent_barriers(int* y) {
  if (threadIdx.x < 16)
    __syncthreads();
  else
    __syncthreads();
  y[threadIdx.x] = 1;
}
SIMT_KERNEL half_a_shuffle(int* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 1);
  __syncthreads();
}
SIMT_KERNEL ended_lanes(unsigned* y) {
  if (threadIdx.x >= 8) return;
  y[threadIdx.x] = __ballot_sync(kAllLanes, 1);
}
SIMT_KERNEL not_in_own_mask(int* y) { y[threadIdx.x] = __shfl_sync(1U, 0, 0); }
SIMT_KERNEL absent_lane(int* y) { y[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 16); }
SIMT_KERNEL masked_lane(int* y) {
  if (threadIdx.x < 4) y[threadIdx.x] = __shfl_sync(0xFU, 1, 6);
}
SIMT_KERNEL too_much_shared(float* y) {
  SIMT_SHARED(float, a, 10000);
  SIMT_SHARED(float, b, 4000);
  y[0] = a[0] + b[0];
}
SIMT_KERNEL nothing() {}
SIMT_KERNEL launches() { launch("nothing", nothing, {1, 1}); }

template <class... P>
std::string message(void (*kernel)(P...), const Grid& grid, P... arguments) {
  return message_of<InternalError>([&] { launch("k", kernel, grid, arguments...); });
}
void expect_part(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "have: " << text << "\nwant: " << part;
}

TEST(SimtFaults, ThreadsThatWaitInVain) {
  std::vector<int> y(64);
  std::vector<unsigned> bits(64);
  const auto divergent = message(divergent_barriers, {2, 32}, y.data());
  expect_part(divergent,
              "kernel k: block (0, 0, 0): threads of one block wait at different barriers: 16 at "
              "__syncthreads (simt_test.cpp:");
  const auto half = message(half_a_shuffle, {1, 32}, y.data());
  expect_part(half, "threads wait for others that never come: 16 at __syncthreads (simt_test.cpp:");
  expect_part(half, "16 in __shfl_xor_sync (simt_test.cpp:");
  expect_part(half, ", 0 ended");
  expect_part(message(ended_lanes, {1, 32}, bits.data()), "8 in __ballot_sync");
  expect_part(message(ended_lanes, {1, 32}, bits.data()), "24 ended");
  // The emulation is as before after a fault.
  std::vector<int> seen(32);
  launch("some_leave_early", some_leave_early, {1, 32}, seen.data());
  EXPECT_EQ(seen[0], 20);
}

TEST(SimtFaults, LanesThatDoNotTakePart) {
  std::vector<int> y(64);
  expect_part(message(not_in_own_mask, {1, 2}, y.data()), "__shfl_sync: lane 1 is not in its own mask");
  expect_part(message(absent_lane, {1, 16}, y.data()), "lane 0 reads from lane 16, which does not take part");
  expect_part(message(masked_lane, {1, 32}, y.data()), "lane 0 reads from lane 6, which does not take part");
}

TEST(SimtFaults, MoreThanThereIs) {
  float y = 0;
  expect_part(message(nothing, {1, 1025}), "a block of (1025, 1, 1) threads; from 1 to 1024 are possible");
  expect_part(message(nothing, {1, dim3(64, 32, 1)}), "a block of (64, 32, 1) threads");
  expect_part(message(nothing, {1, 0}), "a block of (0, 1, 1) threads");
  expect_part(message(nothing, {0, 1}), "a grid of (0, 1, 1) blocks");
  expect_part(message(nothing, {dim3(1, 65536), 1}), "a grid of (1, 65536, 1) blocks");
  expect_part(message(nothing, {1, 1, kMostSharedBytes + 1}), "it wants 49153 bytes of shared memory, there are 49152");
  expect_part(message(too_much_shared, {1, 1}, &y), "it wants 56000 bytes of shared memory");
  expect_part(message(launches, {1, 1}), "a kernel must not launch kernels");
}

#ifndef __SANITIZE_THREAD__
TEST(SimtFaults, AMissingBarrierShowsInTheOrder) {
  std::vector<float> x(64);
  std::iota(x.begin(), x.end(), 0.0F);
  std::size_t right = 0;
  for (const auto order : kOrders) {
    const OrderScope scope(order);
    std::vector<float> y(64);
    launch("missing_barrier", missing_barrier, {1, 64}, x.data(), y.data());
    bool same = true;
    for (std::size_t i = 0; i < 64; ++i) same = same && y[i] == x[63 - i];
    right += same ? 1 : 0;
  }
  EXPECT_LT(right, std::size(kOrders));
}
#endif

// ---- Faults that sanitizers find -------------------------------------------------------------------

#ifdef __SANITIZE_THREAD__
SIMT_KERNEL shuffle_is_no_barrier(const int* x, int* y) {
  SIMT_SHARED(int, tile, kWarp);
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = __shfl_sync(kAllLanes, 0, 0) + tile[kWarp - 1 - threadIdx.x];
}
SIMT_KERNEL plain_sum(const int* x, int* y) { *y += x[threadIdx.x]; }

constexpr int kRaceStatus = 66;  // ThreadSanitizer's

template <class... P>
void launch_and_leave(void (*kernel)(P...), const Grid& grid, P... arguments) {
  launch("k", kernel, grid, arguments...);
  std::exit(0);
}

TEST(SimtFaultsDeathTest, RacesOfThreads) {
  const std::vector<float> x(64);
  const std::vector<int> i(64);
  std::vector<float> y(64);
  std::vector<int> j(64);
  EXPECT_EXIT(launch_and_leave(missing_barrier, {1, 64}, x.data(), y.data()), testing::ExitedWithCode(kRaceStatus),
              "data race");
  EXPECT_EXIT(launch_and_leave(shuffle_is_no_barrier, {1, 32}, i.data(), j.data()),
              testing::ExitedWithCode(kRaceStatus), "data race");
  EXPECT_EXIT(launch_and_leave(plain_sum, {1, 64}, i.data(), j.data()), testing::ExitedWithCode(kRaceStatus),
              "data race");
}
#endif

#ifdef __SANITIZE_ADDRESS__
SIMT_KERNEL shared_overrun(float* y) {
  SIMT_SHARED(float, tile, 64);
  SIMT_SHARED(float, other, 64);
  float* behind = tile + 1;
  other[threadIdx.x] = 2;
  behind[threadIdx.x] = 1;  // thread 63 writes tile[64]
  y[threadIdx.x] = tile[threadIdx.x];
}
SIMT_KERNEL dynamic_overrun(float* y) {
  float* tile = dynamic_shared<float>();
  tile[threadIdx.x + 1] = 1;
  y[threadIdx.x] = tile[threadIdx.x];
}
SIMT_KERNEL overrun(float* y) { y[first_item()] = 1; }

TEST(SimtFaultsDeathTest, AccessesOutOfBounds) {
  const auto y = std::make_unique<float[]>(100);
  EXPECT_DEATH(launch("k", shared_overrun, {1, 64}, y.get()), "AddressSanitizer: use-after-poison");
  EXPECT_DEATH(launch("k", dynamic_overrun, {1, 64, 64 * sizeof(float)}, y.get()),
               "AddressSanitizer: use-after-poison");
  EXPECT_DEATH(launch("k", overrun, {2, 64}, y.get()), "AddressSanitizer: heap-buffer-overflow");
}
#endif

}  // namespace
}  // namespace d2deploy
