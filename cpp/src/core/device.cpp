#include "core/device.h"

#include <chrono>
#include <cstring>

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

const DeviceDriver& driver_of(Device device) {
  const DeviceDriver* driver = driver_of(device.kind);
  check<Unsupported>(driver != nullptr, "device ", device, " is not available: this build runs on the CPU alone");
  const int count = driver->count();
  const std::string why = count == 0 ? driver->why_none() : std::string();
  check<DeviceError>(why.empty(), "there is no device ", device, ": ", why);
  check<DeviceError>(device.index >= 0 && device.index < count, "there is no device ", device, ": this machine has ",
                     count, " of its kind, counted from 0");
  return *driver;
}

}  // namespace

int device_count(Device::Kind kind) {
  const DeviceDriver* driver = driver_of(kind);
  return driver == nullptr ? 0 : driver->count();
}

std::string device_name(Device device) { return driver_of(device).name(device.index); }

std::shared_ptr<void> allocate(Device device, std::size_t bytes) {
  return driver_of(device).allocate(device.index, bytes);
}

std::shared_ptr<void> allocate_pinned(Device device, std::size_t bytes) {
  return driver_of(device).allocate_pinned(device.index, bytes);
}

DeviceScope::DeviceScope(Device device) : device_(device), before_(driver_of(device).exchange_current(device.index)) {}
DeviceScope::~DeviceScope() { (void)driver_of(device_.kind)->exchange_current(before_); }

Stream::Stream(Device device) : device_(device), handle_(driver_of(device).make_stream(device.index)) {}

void Stream::synchronize() const { driver_of(device_).synchronize(handle()); }

void Stream::copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) const {
  for (const Device device : {to_device, from_device})
    check<InternalError>(device.kind == Device::cpu || device.kind == device_.kind, "a stream of device ", device_,
                         " cannot copy memory of ", device);
  if (bytes != 0) driver_of(device_).copy(to, from, bytes, handle());
}

void Stream::clear(void* memory, std::size_t bytes) const {
  if (bytes != 0) driver_of(device_).clear(memory, bytes, handle());
}

Recording Stream::record(const std::function<void()>& work) const {
  Recording recording;
  recording.handle_ = driver_of(device_).record(handle(), work);
  return recording;
}

void Stream::replay(const Recording& recording) const { driver_of(device_).replay(recording.handle_.get(), handle()); }

Event::Event(Device device) : device_(device), handle_(driver_of(device).make_event(device.index)) {}

void Event::record(const Stream& stream) {
  check<InternalError>(stream.device() == device_, "an event of device ", device_, " in a stream of ", stream.device());
  driver_of(device_).mark(handle_.get(), stream.handle());
}

void Event::synchronize() const { driver_of(device_).wait_for(handle_.get()); }

double Event::milliseconds_since(const Event& begin) const {
  return driver_of(device_).milliseconds(begin.handle_.get(), handle_.get());
}

Tensor copy_to(Device device, const Tensor& tensor, const Stream& stream) {
  const auto bytes = static_cast<std::size_t>(tensor.bytes());
  auto memory = allocate(device, bytes);
  void* data = memory.get();
  stream.copy(data, device, tensor.raw(), tensor.device(), bytes);
  return Tensor::share(tensor.type(), data, std::move(memory), device);
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

std::shared_ptr<void> HostDriver::record(void*, const std::function<void()>& work) const {
  return std::make_shared<std::function<void()>>(work);
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
