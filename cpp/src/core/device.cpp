#include "core/device.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>

#include "core/check.h"
#include "core/device_driver.h"
#include "core/memory.h"

namespace d2deploy {

namespace {

using Clock = std::chrono::steady_clock;

const DeviceDriver& host_driver() {
  static const HostDriver driver;
  return driver;
}

// Null where the build has none.
const DeviceDriver* driver_of(Device::Kind kind) {
  if (kind == Device::cpu) return &host_driver();
#ifdef D2DEPLOY_CUDA
  return &cuda_driver();
#else
  return nullptr;
#endif
}

// Devices that serve this process no more, and why.
struct Lost {
  std::atomic<bool> any = false;  // so that nobody waits for the others where there are none
  std::mutex mutex;
  std::map<int, std::string> reasons;
};

Lost& lost() {
  static Lost devices;
  return devices;
}

[[noreturn]] void fail_for_lost(Device device, const std::string& reason) {
  fail<DeviceError>(device, " is lost to this process: ", reason, "; start the process anew");
}

void check_not_lost(Device device) {
  if (device.kind == Device::cpu || !lost().any) return;
  const std::scoped_lock lock(lost().mutex);
  const auto reason = lost().reasons.find(device.index);
  if (reason != lost().reasons.end()) fail_for_lost(device, reason->second);
}

const DeviceDriver& driver_of(Device device) {
  check_not_lost(device);
  const DeviceDriver* driver = driver_of(device.kind);
  check<Unsupported>(driver != nullptr, "device ", device, " is not available: this build runs on the CPU alone");
  const int count = driver->count();
  const std::string why = count == 0 ? driver->why_none() : std::string();
  check<DeviceError>(why.empty(), "there is no device ", device, ": ", why);
  check<DeviceError>(device.index >= 0 && device.index < count, "there is no device ", device, ": this machine has ",
                     count, " of its kind, counted from 0");
  return *driver;
}

// What `work` gives, which asks the driver. What lost a device is kept for later callers.
template <class Work>
auto ask(Device device, const Work& work) {
  const DeviceDriver& driver = driver_of(device);
  try {
    return work(driver);
  } catch (const LostDevice& e) {
    {
      const std::scoped_lock lock(lost().mutex);
      lost().reasons.emplace(device.index, e.what());
      lost().any = true;
    }
    fail_for_lost(device, e.what());
  }
}

}  // namespace

void forget_lost_devices() {
  const std::scoped_lock lock(lost().mutex);
  lost().reasons.clear();
  lost().any = false;
}

void fail_for_memory(int index, std::size_t wanted, std::size_t free, std::size_t total) {
  fail<OutOfMemory>("out of memory of cuda:", index, ": wanted ", wanted, " bytes, free are ", free, " of ", total,
                    "; give smaller images, or fewer at once");
}

int device_count(Device::Kind kind) {
  const DeviceDriver* driver = driver_of(kind);
  return driver == nullptr ? 0 : driver->count();
}

std::string device_name(Device device) {
  return ask(device, [&](const DeviceDriver& driver) { return driver.name(device.index); });
}

std::shared_ptr<void> allocate(Device device, std::size_t bytes) {
  return ask(device, [&](const DeviceDriver& driver) { return driver.allocate(device.index, bytes); });
}

std::shared_ptr<void> allocate_pinned(Device device, std::size_t bytes) {
  return ask(device, [&](const DeviceDriver& driver) { return driver.allocate_pinned(device.index, bytes); });
}

DeviceScope::DeviceScope(Device device)
    : device_(device),
      before_(ask(device, [&](const DeviceDriver& driver) { return driver.exchange_current(device.index); })) {}
DeviceScope::~DeviceScope() {
  try {
    (void)driver_of(device_.kind)->exchange_current(before_);
  } catch (const std::exception&) {  // the device is lost, which the next call to it says
  }
}

Stream::Stream(Device device)
    : device_(device),
      handle_(ask(device, [&](const DeviceDriver& driver) { return driver.make_stream(device.index); })) {}

void Stream::synchronize() const {
  ask(device_, [&](const DeviceDriver& driver) { driver.synchronize(handle()); });
}

void Stream::copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) const {
  for (const Device device : {to_device, from_device})
    check<InternalError>(device.kind == Device::cpu || device.kind == device_.kind, "a stream of device ", device_,
                         " cannot copy memory of ", device);
  if (bytes != 0) ask(device_, [&](const DeviceDriver& driver) { driver.copy(to, from, bytes, handle()); });
}

void Stream::clear(void* memory, std::size_t bytes) const {
  if (bytes != 0) ask(device_, [&](const DeviceDriver& driver) { driver.clear(memory, bytes, handle()); });
}

Recording Stream::record(const std::function<void()>& work) const {
  return record({{}}, [&](std::size_t) { work(); });
}

Recording Stream::record(const PartOrder& after, const std::function<void(std::size_t part)>& work) const {
  Recording recording;
  recording.handle_ = ask(device_, [&](const DeviceDriver& driver) { return driver.record(handle(), after, work); });
  return recording;
}

void Stream::replay(const Recording& recording) const {
  ask(device_, [&](const DeviceDriver& driver) { driver.replay(recording.handle_.get(), handle()); });
}

Event::Event(Device device)
    : device_(device),
      handle_(ask(device, [&](const DeviceDriver& driver) { return driver.make_event(device.index); })) {}

void Event::record(const Stream& stream) {
  check<InternalError>(stream.device() == device_, "an event of device ", device_, " in a stream of ", stream.device());
  ask(device_, [&](const DeviceDriver& driver) { driver.mark(handle_.get(), stream.handle()); });
}

void Event::synchronize() const {
  ask(device_, [&](const DeviceDriver& driver) { driver.wait_for(handle_.get()); });
}

double Event::milliseconds_since(const Event& begin) const {
  return ask(device_,
             [&](const DeviceDriver& driver) { return driver.milliseconds(begin.handle_.get(), handle_.get()); });
}

Tensor copy_to(Device device, const Tensor& tensor, const Stream& stream) {
  const auto bytes = static_cast<std::size_t>(tensor.bytes());
  auto memory = allocate(device, bytes);
  void* data = memory.get();
  stream.copy(data, device, tensor.raw(), tensor.device(), bytes);
  return Tensor::share(tensor.type(), data, std::move(memory), device);
}

Tensor upload(Device device, const Tensor& host) {
  const Stream stream(device);
  Tensor there = copy_to(device, host, stream);
  stream.synchronize();
  return there;
}

std::string HostDriver::name(int) const { return "CPU"; }

std::shared_ptr<void> HostDriver::allocate(int, std::size_t bytes) const { return d2deploy::allocate(bytes); }

std::shared_ptr<void> HostDriver::allocate_pinned(int, std::size_t bytes) const { return d2deploy::allocate(bytes); }

int HostDriver::exchange_current(int) const { return 0; }

std::shared_ptr<void> HostDriver::make_stream(int) const { return nullptr; }

std::shared_ptr<void> HostDriver::make_event(int) const { return std::make_shared<Clock::time_point>(); }

void HostDriver::copy(void* to, const void* from, std::size_t bytes, void*) const { std::memcpy(to, from, bytes); }

void HostDriver::clear(void* memory, std::size_t bytes, void*) const { std::memset(memory, 0, bytes); }

void HostDriver::synchronize(void*) const {}

std::shared_ptr<void> HostDriver::record(void*, const PartOrder& after,
                                         const std::function<void(std::size_t part)>& work) const {
  return std::make_shared<std::function<void()>>([work, parts = after.size()] {
    for (std::size_t i = 0; i < parts; ++i) work(i);
  });
}

void HostDriver::replay(void* recording, void*) const { (*static_cast<std::function<void()>*>(recording))(); }

void HostDriver::mark(void* event, void*) const { *static_cast<Clock::time_point*>(event) = Clock::now(); }

void HostDriver::wait_for(void*) const {}

double HostDriver::milliseconds(void* begin, void* end) const {
  const std::chrono::duration<double, std::milli> time =
      *static_cast<Clock::time_point*>(end) - *static_cast<Clock::time_point*>(begin);
  return time.count();
}

}  // namespace d2deploy
