// Memory of devices, and work on them in order. The only place that allocates, copies, and makes streams and events:
// all else names a Device and hands these on.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// How many devices of a kind there are for this process; 0 where the build has no kernels for them.
int device_count(Device::Kind kind);

/// What a device calls itself, as "NVIDIA H100 80GB HBM3". This, and all that takes a device below, throws Unsupported
/// where the build has no kernels for its kind, and DeviceError where there is no such device.
std::string device_name(Device device);

/// Uninitialised memory of a device, aligned to kAlignment, given back with the last owner. Throws DeviceError, with
/// the size, where there is not enough.
std::shared_ptr<void> allocate(Device device, std::size_t bytes);

/// Host memory that the device reads and writes, too, at the same addresses. Throws DeviceError likewise.
std::shared_ptr<void> allocate_pinned(Device device, std::size_t bytes);

/// What the calling thread launches goes to this device; at the end, to the one before.
class DeviceScope {
 public:
  explicit DeviceScope(Device device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  Device device_;
  int before_;
};

/// Work that was recorded instead of done, with all addresses and sizes: a CUDA graph.
class Recording {
 public:
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  friend class Stream;
  std::shared_ptr<void> handle_;
};

/// Which parts of some work come before which: part i begins when all of after[i] are done, which stand before it. Two
/// of which neither comes before the other may be done at the same time.
using PartOrder = std::vector<std::vector<std::size_t>>;

/// Work of one device, done one after the other. What is asked for of the CPU is done when the call returns, elsewhere
/// when `synchronize` does.
class Stream {
 public:
  explicit Stream(Device device = {});

  Device device() const { return device_; }
  void* handle() const { return handle_.get(); }  ///< what kernels are launched with; null for the CPU
  /// Waits for all work so far, and throws DeviceError where some of it failed.
  void synchronize() const;

  /// Between or within the memories of devices; host memory is the CPU's. It is to stay until the work is done.
  void copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) const;
  /// Bytes of 0 into memory of this stream's device.
  void clear(void* memory, std::size_t bytes) const;

  /// What `work` asks of this stream, for `replay`; none of it is done now. It must neither wait nor allocate.
  Recording record(const std::function<void()>& work) const;
  /// The same of the parts of some work, of which `work` asks for one: they may be done in any order that `after`
  /// leaves.
  Recording record(const PartOrder& after, const std::function<void(std::size_t part)>& work) const;
  void replay(const Recording& recording) const;

 private:
  Device device_;
  std::shared_ptr<void> handle_;
};

/// A point in the work of a stream.
class Event {
 public:
  explicit Event(Device device = {});

  void record(const Stream& stream);  ///< a stream of the same device
  void synchronize() const;           ///< waits until the work before it is done
  /// From the other event, recorded before, to this one; waits for both.
  double milliseconds_since(const Event& begin) const;

 private:
  Device device_;
  std::shared_ptr<void> handle_;
};

/// A copy in memory of its own on another device, or on the same one. To read it on the host, synchronize `stream`
/// first.
Tensor copy_to(Device device, const Tensor& tensor, const Stream& stream);
/// The same of a tensor in host memory, done when it returns.
Tensor upload(Device device, const Tensor& host);

}  // namespace d2deploy
