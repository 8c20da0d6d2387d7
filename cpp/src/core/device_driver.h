// What core/device.cpp asks of a kind of device.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "core/device.h"
#include "d2deploy/error.h"

namespace d2deploy {

/// An error after which no call to the device succeeds any more in this process. core/device.cpp alone knows it: others
/// get a DeviceError.
class LostDevice : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

/// For tests that emulate it: no device is lost. A real one never comes back.
void forget_lost_devices();

[[noreturn]] void fail_for_memory(int index, std::size_t wanted, std::size_t free, std::size_t total);

/// Devices of one kind, by index. Streams and events are known by their handles, which are not null but on the CPU.
class DeviceDriver {
 public:
  virtual ~DeviceDriver() = default;
  virtual int count() const = 0;
  /// Why there are none; empty: nothing more is known.
  virtual std::string why_none() const { return {}; }
  virtual std::string name(int index) const = 0;
  virtual std::shared_ptr<void> allocate(int index, std::size_t bytes) const = 0;
  virtual std::shared_ptr<void> allocate_pinned(int index, std::size_t bytes) const = 0;
  /// Makes a device the calling thread's own, and returns which one was.
  virtual int exchange_current(int index) const = 0;
  virtual std::shared_ptr<void> make_stream(int index) const = 0;
  virtual std::shared_ptr<void> make_event(int index) const = 0;
  /// Between any two of: memory of these devices, host memory.
  virtual void copy(void* to, const void* from, std::size_t bytes, void* stream) const = 0;
  virtual void clear(void* memory, std::size_t bytes, void* stream) const = 0;
  virtual void synchronize(void* stream) const = 0;
  virtual std::shared_ptr<void> record(void* stream, const PartOrder& after,
                                       const std::function<void(std::size_t part)>& work) const = 0;
  virtual void replay(void* recording, void* stream) const = 0;
  virtual void mark(void* event, void* stream) const = 0;
  virtual void wait_for(void* event) const = 0;
  virtual double milliseconds(void* begin, void* end) const = 0;
};

/// The driver of NVIDIA GPUs, or of what stands in for them; only in builds with their kernels.
const DeviceDriver& cuda_driver();

/// A driver whose devices are the host: its memory is host memory, and work is done at once.
class HostDriver : public DeviceDriver {
 public:
  int count() const override { return 1; }
  std::string name(int index) const override;
  std::shared_ptr<void> allocate(int index, std::size_t bytes) const override;
  std::shared_ptr<void> allocate_pinned(int index, std::size_t bytes) const override;
  int exchange_current(int index) const override;
  std::shared_ptr<void> make_stream(int index) const override;
  std::shared_ptr<void> make_event(int index) const override;
  void copy(void* to, const void* from, std::size_t bytes, void* stream) const override;
  void clear(void* memory, std::size_t bytes, void* stream) const override;
  void synchronize(void* stream) const override;
  std::shared_ptr<void> record(void* stream, const PartOrder& after,
                               const std::function<void(std::size_t part)>& work) const override;
  void replay(void* recording, void* stream) const override;
  void mark(void* event, void* stream) const override;
  void wait_for(void* event) const override;
  double milliseconds(void* begin, void* end) const override;
};

}  // namespace d2deploy
