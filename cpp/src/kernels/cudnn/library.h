// cuDNN, opened when it is first asked for: what is linked against it would not start on a machine without it.
#pragma once
#include <cudnn.h>

#include <memory>
#include <mutex>
#include <string>

namespace d2deploy::cudnn {

/// The functions of cuDNN that we call, under their names without `cudnn`.
struct Functions {
  decltype(&cudnnGetVersion) GetVersion;
  decltype(&cudnnCreate) Create;
  decltype(&cudnnDestroy) Destroy;
  decltype(&cudnnSetStream) SetStream;
  decltype(&cudnnGetErrorString) GetErrorString;
  decltype(&cudnnGetLastErrorString) GetLastErrorString;
  decltype(&cudnnBackendCreateDescriptor) BackendCreateDescriptor;
  decltype(&cudnnBackendDestroyDescriptor) BackendDestroyDescriptor;
  decltype(&cudnnBackendSetAttribute) BackendSetAttribute;
  decltype(&cudnnBackendGetAttribute) BackendGetAttribute;
  decltype(&cudnnBackendFinalize) BackendFinalize;
  decltype(&cudnnBackendExecute) BackendExecute;
};

/// Throws DeviceError where there is no cuDNN 9, with the way to get one.
const Functions& functions();

/// Throws DeviceError with cuDNN's own words, unless the status is that of success.
void check(cudnnStatus_t status, const char* what);

/// cuDNN on one device. A handle serves one thread at a time.
class Handle {
 public:
  /// The device's; made when it is first asked for, and there until the end of the process.
  static Handle& of(int device);

  cudnnHandle_t get() const { return handle_; }
  std::mutex& mutex() { return mutex_; }  ///< to be held from SetStream to the end of the execution

 private:
  cudnnHandle_t handle_ = nullptr;
  std::mutex mutex_;
};

}  // namespace d2deploy::cudnn
