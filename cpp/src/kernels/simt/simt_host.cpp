// The scheduler of simt_host.h. Compiled without ThreadSanitizer, which it directs: what it reads and writes itself is
// no business of the kernels'. It asks for no memory while a fiber runs, since that would count as a write of this
// fiber's.
#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "core/memory.h"
#include "kernels/simt/fiber.h"
#include "kernels/simt/simt.h"

namespace d2deploy::simt::host {

namespace {

class Launch;
constinit thread_local Launch* current = nullptr;
constinit thread_local Order current_order = Order::forward;

std::string text_of(const Site& site) {
  const std::string_view path = site.file_name();
  return join(path.substr(path.rfind('/') + 1), ':', site.line());
}

std::string text_of(const dim3& d) { return join('(', d.x, ", ", d.y, ", ", d.z, ')'); }

// The shared memory of a block: the dynamic part, then variables as threads come to them, with forbidden gaps between.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t dynamic_bytes)
      : dynamic_bytes_(dynamic_bytes), memory_(allocate(kBytes)), used_(kBytes) {}
  ~SharedMemory() { allow_access(memory_.get(), kBytes); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// For the next block: full of NaN and without variables.
  void clear() {
    allow_access(memory_.get(), kBytes);
    std::memset(memory_.get(), 0xFF, used_);
    forbid_access(memory_.get(), kBytes);
    allow_access(at(0), dynamic_bytes_);
    used_ = next(dynamic_bytes_);
    bytes_ = dynamic_bytes_;
    count_ = 0;
  }

  void* dynamic() const { return at(0); }

  void* variable(const void* key, std::size_t bytes) {
    for (std::size_t i = 0; i < count_; ++i)
      if (variables_[i].key == key) return at(variables_[i].offset);
    bytes_ += bytes;
    check<InternalError>(bytes_ <= kMostSharedBytes && count_ < variables_.size(), "it wants ", bytes_,
                         " bytes of shared memory in ", count_ + 1, " variables, there are ", kMostSharedBytes,
                         " in at most ", variables_.size());
    const std::size_t offset = used_;
    variables_[count_++] = {key, offset};
    used_ = next(offset + bytes);
    allow_access(at(offset), bytes);
    return at(offset);
  }

 private:
  struct Variable {
    const void* key;
    std::size_t offset;
  };
  static constexpr std::size_t kMostVariables = 32;
  static constexpr std::size_t kBytes = kMostSharedBytes + (kMostVariables + 1) * 2 * kAlignment;  // each ends in a gap

  static std::size_t next(std::size_t end) { return align_up(end) + kAlignment; }
  std::byte* at(std::size_t offset) const { return static_cast<std::byte*>(memory_.get()) + offset; }

  std::size_t dynamic_bytes_;
  std::shared_ptr<void> memory_;
  std::size_t used_, bytes_ = 0, count_ = 0;
  std::array<Variable, kMostVariables> variables_{};
};

struct Worker;

struct Thread {
  enum class State { fresh, ready, at_barrier, in_warp, done } state = State::fresh;
  Worker* worker = nullptr;
  Site site;          // of what it waits for
  Exchange exchange;  // where in_warp
};

// A fiber that runs one thread after the other, until one waits.
struct Worker {
  Worker();
  Fiber fiber;
  bool idle = true;
};

// Workers between launches. To make a stack costs more than what most kernels of a test do on it.
thread_local std::vector<std::unique_ptr<Worker>> resting;

// Where the threads of a block or of a warp meet. Two points in turn: who runs ahead to the next meeting must not look
// ordered before who still leaves this one.
struct Meeting {
  unsigned generation = 0;
  char points[2] = {};
  void* point() { return &points[generation % 2]; }
};

class Launch {
 public:
  Launch(const Grid& grid, void (*thread)(const void*), const void* arguments)
      : thread_(thread),
        arguments_(arguments),
        threads_(std::size_t{grid.threads.x} * grid.threads.y * grid.threads.z),
        warps_((threads_.size() + kWarp - 1) / kWarp),
        sequence_(threads_.size()),
        shared_(grid.shared_bytes) {
    std::iota(sequence_.begin(), sequence_.end(), 0U);
    if (current_order == Order::backward) std::reverse(sequence_.begin(), sequence_.end());
    if (current_order == Order::shuffled) std::shuffle(sequence_.begin(), sequence_.end(), std::mt19937(1));
    current = this;
    blockDim = grid.threads;
    gridDim = grid.blocks;
  }
  ~Launch() {
    observe(&end_);
    current = nullptr;
    for (auto& worker : workers_)
      if (worker->idle) resting.push_back(std::move(worker));  // others wait for good, after a fault
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  void run_block(const dim3& index) {
    blockIdx = index;
    std::ranges::fill(threads_, Thread{});
    shared_.clear();
    alive_ = threads_.size();
    idle_.clear();
    for (const auto& worker : workers_) idle_.push_back(worker.get());
    publish(&start_);
    while (alive_ > 0) {
      bool progress = run_threads();
      for (std::size_t warp = 0; warp < warps_.size(); ++warp) progress = release_warp(warp) || progress;
      progress = release_barrier() || progress;
      if (!progress && alive_ > 0) fail_waiting("threads wait for others that never come");
    }
    observe(&end_);
  }

  void* variable(const void* key, std::size_t bytes) { return shared_.variable(key, bytes); }
  void* dynamic() const { return shared_.dynamic(); }
  unsigned lane() const { return static_cast<unsigned>(running_ % kWarp); }

  // On a fiber: the selected thread, then those behind it that are fresh, which saves a switch for each.
  void work() {
    Worker& self = *threads_[running_].worker;
    run_selected();
    while (kStacksMayBeShared && !error_ && next_is_fresh()) {
      select(sequence_[++position_]);
      threads_[running_].worker = &self;
      run_selected();
    }
    self.idle = true;
    self.fiber.yield();
  }

  void barrier(const Site& site) {
    Thread& self = threads_[running_];
    self.state = Thread::State::at_barrier;
    self.site = site;
    void* const point = barrier_.point();
    publish(point);
    wait(self);
    observe(point);
  }

  Exchange exchange(const Exchange& mine, const Site& site) {
    Thread& self = threads_[running_];
    if ((mine.mask >> lane() & 1U) == 0)
      fail<InternalError>(text_of(site), ": ", mine.operation, ": lane ", lane(), " is not in its own mask");
    self.state = Thread::State::in_warp;
    self.site = site;
    self.exchange = mine;
    void* const point = warps_[running_ / kWarp].point();
    if (mine.orders_memory) publish(point);
    wait(self);
    if (mine.orders_memory) observe(point);
    return self.exchange;
  }

 private:
  // Every thread that can, in sequence, until it waits or ends. Returns: whether there was one.
  bool run_threads() {
    bool any = false;
    for (position_ = 0; position_ < sequence_.size(); ++position_) {
      Thread& thread = threads_[sequence_[position_]];
      if (thread.state == Thread::State::fresh)
        thread.worker = idle_worker();
      else if (thread.state != Thread::State::ready)
        continue;
      any = true;
      Worker& worker = *thread.worker;
      select(sequence_[position_]);
      worker.fiber.resume();
      if (worker.idle && kStacksMayBeShared) idle_.push_back(&worker);
      if (error_) {
        observe(&end_);
        std::rethrow_exception(error_);
      }
    }
    return any;
  }

  Worker* idle_worker() {
    if (idle_.empty()) {
      if (resting.empty()) resting.push_back(std::make_unique<Worker>());
      workers_.push_back(std::move(resting.back()));
      resting.pop_back();
      idle_.push_back(workers_.back().get());
    }
    Worker* worker = idle_.back();
    idle_.pop_back();
    worker->idle = false;
    return worker;
  }

  void select(unsigned thread) {
    running_ = thread;
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / blockDim.x / blockDim.y};
  }

  // Until the scheduler resumes it, which may never be where there is a fault.
  void wait(const Thread& self) {
    publish(&end_);
    self.worker->fiber.yield();
  }

  bool next_is_fresh() const {
    return position_ + 1 < sequence_.size() && threads_[sequence_[position_ + 1]].state == Thread::State::fresh;
  }

  void run_selected() {
    observe(&start_);
    threads_[running_].state = Thread::State::ready;
    try {
      thread_(arguments_);
    } catch (...) {
      error_ = std::current_exception();
    }
    publish(&end_);
    threads_[running_].state = Thread::State::done;
    --alive_;
  }

  // Threads that ended are not waited for. Returns: whether there were threads that go on.
  bool release_barrier() {
    const Thread* first = nullptr;
    for (const Thread& t : threads_) {
      if (t.state == Thread::State::done) continue;
      if (t.state != Thread::State::at_barrier) return false;
      if (first == nullptr) first = &t;
      if (t.site.line() != first->site.line() || std::strcmp(t.site.file_name(), first->site.file_name()) != 0)
        fail_waiting("threads of one block wait at different barriers");
    }
    if (first == nullptr) return false;
    ++barrier_.generation;
    for (Thread& t : threads_)
      if (t.state == Thread::State::at_barrier) t.state = Thread::State::ready;
    return true;
  }

  // Lanes that a last, smaller warp lacks are not waited for; lanes that ended are, and never come.
  bool release_warp(std::size_t warp) {
    const std::span<Thread> lanes(threads_.data() + warp * kWarp,
                                  std::min<std::size_t>(kWarp, threads_.size() - warp * kWarp));
    bool any = false;
    for (const Thread& thread : lanes)
      if (thread.state == Thread::State::in_warp && all_came(lanes, thread.exchange)) {
        if (thread.exchange.orders_memory) ++warps_[warp].generation;
        finish(lanes, Exchange(thread.exchange));
        any = true;
      }
    return any;
  }

  static bool all_came(std::span<const Thread> lanes, const Exchange& wanted) {
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      if ((wanted.mask >> i & 1U) == 0) continue;
      const Exchange& his = lanes[i].exchange;
      if (lanes[i].state != Thread::State::in_warp || his.mask != wanted.mask ||
          std::strcmp(his.operation, wanted.operation) != 0)
        return false;
    }
    return true;
  }

  void finish(std::span<Thread> lanes, const Exchange& what) {
    unsigned ballot = 0;
    std::array<std::uint64_t, kWarp> values{};
    for (unsigned i = 0; i < lanes.size(); ++i) {
      if ((what.mask >> i & 1U) == 0) continue;
      values[i] = lanes[i].exchange.value;
      if (values[i] != 0) ballot |= 1U << i;
    }
    for (unsigned i = 0; i < lanes.size(); ++i) {
      if ((what.mask >> i & 1U) == 0) continue;
      Exchange& mine = lanes[i].exchange;
      if (mine.source >= lanes.size() || (what.mask >> mine.source & 1U) == 0)
        fail<InternalError>(text_of(lanes[i].site), ": ", mine.operation, ": lane ", i, " reads from lane ",
                            mine.source, ", which does not take part");
      mine.value = values[mine.source];
      mine.ballot = ballot;
      lanes[i].state = Thread::State::ready;
    }
  }

  [[noreturn]] void fail_waiting(const char* why) const {
    std::map<std::string, std::size_t> places;
    for (const Thread& t : threads_) {
      if (t.state == Thread::State::at_barrier) ++places[join("at __syncthreads (", text_of(t.site), ')')];
      if (t.state == Thread::State::in_warp) ++places[join("in ", t.exchange.operation, " (", text_of(t.site), ')')];
    }
    std::string where;
    for (const auto& [place, count] : places) where += join(count, ' ', place, ", ");
    fail<InternalError>(why, ": ", where, threads_.size() - alive_, " ended");
  }

  void (*thread_)(const void*);
  const void* arguments_;
  std::vector<Thread> threads_;
  std::vector<Meeting> warps_;
  std::vector<unsigned> sequence_;  // of threads
  SharedMemory shared_;
  Meeting barrier_;
  char start_ = 0, end_ = 0;  // of a block, for publish and observe
  std::size_t alive_ = 0;     // threads that have not ended
  std::size_t position_ = 0;  // in the sequence
  unsigned running_ = 0;      // thread
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Worker*> idle_;
  std::exception_ptr error_;  // of a thread
};

Worker::Worker()
    : fiber([] {
        for (;;) current->work();
      }) {}

void check_grid(const Grid& g) {
  constexpr unsigned kMostX = 0x7FFFFFFF, kMostYZ = 0xFFFF, kMostThreadsZ = 64;
  const dim3 &b = g.blocks, &t = g.threads;
  check<InternalError>(b.x >= 1 && b.x <= kMostX && b.y >= 1 && b.y <= kMostYZ && b.z >= 1 && b.z <= kMostYZ,
                       "a grid of ", text_of(b), " blocks; from 1 to (", kMostX, ", ", kMostYZ, ", ", kMostYZ,
                       ") are possible");
  const std::uint64_t threads = std::uint64_t{t.x} * t.y * t.z;
  check<InternalError>(
      t.x <= kMostThreads && t.y <= kMostThreads && t.z <= kMostThreadsZ && threads >= 1 && threads <= kMostThreads,
      "a block of ", text_of(t), " threads; from 1 to ", kMostThreads, " are possible");
  check<InternalError>(g.shared_bytes <= kMostSharedBytes, "it wants ", g.shared_bytes,
                       " bytes of shared memory, there are ", kMostSharedBytes);
}

}  // namespace

OrderScope::OrderScope(Order order) : before_(current_order) { current_order = order; }
OrderScope::~OrderScope() { current_order = before_; }

void run(const char* name, const Grid& grid, void (*thread)(const void*), const void* arguments) {
  with_context([&] { return join("kernel ", name); },
               [&] {
                 check<InternalError>(current == nullptr, "a kernel must not launch kernels");
                 check_grid(grid);
                 Launch launch(grid, thread, arguments);
                 for (unsigned z = 0; z < grid.blocks.z; ++z)
                   for (unsigned y = 0; y < grid.blocks.y; ++y)
                     for (unsigned x = 0; x < grid.blocks.x; ++x)
                       with_context([&] { return join("block ", text_of(dim3(x, y, z))); },
                                    [&] {
                                      launch.run_block({x, y, z});
                                    });
               });
}

void* shared_memory(const void* variable, std::size_t bytes) { return current->variable(variable, bytes); }
void* dynamic_shared_memory() { return current->dynamic(); }
void barrier(const Site& site) { current->barrier(site); }
unsigned lane() { return current->lane(); }
Exchange exchange(const Exchange& mine, const Site& site) { return current->exchange(mine, site); }

}  // namespace d2deploy::simt::host
