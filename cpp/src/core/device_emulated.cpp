// GPUs that are the host (kernels/simt runs their kernels), for tests.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "core/check.h"
#include "core/device_driver.h"
#include "core/emulated_stream.h"
#include "core/memory.h"

namespace d2deploy {

namespace {

using Work = std::vector<std::function<void()>>;

constexpr const char* kBroken = "an illegal memory access was encountered";

thread_local int current = 0;

void check_works(int index) { check<LostDevice>(!emulated_device(index).broken, kBroken); }

EmulatedStream& stream_of(void* handle) {
  auto& stream = *static_cast<EmulatedStream*>(handle);
  check_works(stream.device);
  return stream;
}

// The order in which every part comes as late as it may: one in which a part that `after` leaves out is not done yet
// when it is needed.
std::vector<std::size_t> latest_first(const PartOrder& after) {
  std::vector<std::size_t> order;
  std::vector<bool> done(after.size());
  const auto is_ready = [&](std::size_t part) {
    return !done[part] && std::ranges::all_of(after[part], [&](std::size_t i) { return done[i]; });
  };
  while (order.size() < after.size()) {
    std::size_t part = after.size();
    do check<InternalError>(part > 0, "parts of recorded work wait for each other");
    while (!is_ready(--part));
    done[part] = true;
    order.push_back(part);
  }
  return order;
}

class EmulatedDriver : public HostDriver {
 public:
  int count() const override { return kEmulatedDevices; }
  std::string name(int) const override { return "emulated GPU"; }

  // Full of NaN: what is read before it was written shows.
  std::shared_ptr<void> allocate(int index, std::size_t bytes) const override {
    check_works(index);
    EmulatedDevice& device = emulated_device(index);
    ++device.allocations;
    const std::size_t used = device.bytes.fetch_add(bytes), capacity = device.capacity;
    if (used + bytes > capacity) {
      device.bytes -= bytes;
      fail_for_memory(index, bytes, capacity - std::min(used, capacity), capacity);
    }
    const std::shared_ptr<void> count(nullptr, [&device, bytes](void*) { device.bytes -= bytes; });
    auto memory = d2deploy::allocate(bytes);
    std::memset(memory.get(), 0xFF, bytes);
    void* data = memory.get();
    return {data, [memory = std::move(memory), count](void*) {}};
  }

  std::shared_ptr<void> allocate_pinned(int index, std::size_t bytes) const override {
    check_works(index);
    ++emulated_device(index).allocations;
    return d2deploy::allocate(bytes);
  }

  int exchange_current(int index) const override { return std::exchange(current, index); }

  std::shared_ptr<void> make_stream(int index) const override {
    check_works(index);
    auto stream = std::make_shared<EmulatedStream>();
    stream->device = index;
    return stream;
  }

  void copy(void* to, const void* from, std::size_t bytes, void* stream) const override {
    submit(&stream_of(stream), [=] { std::memcpy(to, from, bytes); });
  }
  void clear(void* memory, std::size_t bytes, void* stream) const override {
    submit(&stream_of(stream), [=] { std::memset(memory, 0, bytes); });
  }

  // A GPU cannot wait for work that is being recorded, either.
  void synchronize(void* handle) const override {
    auto& stream = stream_of(handle);
    check<InternalError>(stream.recording == nullptr, "a stream that is recorded cannot be waited for");
    ++stream.synchronizations;
    stream.pending = 0;
  }

  std::shared_ptr<void> record(void* handle, const PartOrder& after,
                               const std::function<void(std::size_t part)>& work) const override {
    struct Scope {
      EmulatedStream& stream;
      ~Scope() { stream.recording = nullptr; }
    };
    std::vector<Work> parts(after.size());
    const Scope scope{stream_of(handle)};
    scope.stream.launches.clear();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      scope.stream.recording = &parts[i];
      work(i);
    }
    auto recorded = std::make_shared<Work>();
    for (const std::size_t i : latest_first(after)) std::ranges::move(parts[i], std::back_inserter(*recorded));
    return recorded;
  }

  void replay(void* recording, void* stream) const override {
    submit(&stream_of(stream), [=] {
      for (const auto& work : *static_cast<const Work*>(recording)) work();
    });
  }
};

}  // namespace

EmulatedDevice& emulated_device(int index) {
  static std::array<EmulatedDevice, kEmulatedDevices> devices;
  return devices.at(static_cast<std::size_t>(index));
}

void check_launch(EmulatedStream& stream, const EmulatedLaunch& launch) {
  check<InternalError>(current == stream.device, launch.name, " is launched into a stream of cuda:", stream.device,
                       " while the thread's device is cuda:", current);
  EmulatedDevice& device = emulated_device(stream.device);
  check<DeviceError>(!device.broken, launch.name, ": ", kBroken);
  check<DeviceError>(--device.launches_left >= 0, launch.name, ": too many resources requested for launch");
  if (--device.launches_until_broken < 0) device.broken = true;
  if (stream.recording != nullptr) stream.launches.push_back(launch);
}

const DeviceDriver& cuda_driver() {
  static const EmulatedDriver driver;
  return driver;
}

}  // namespace d2deploy
