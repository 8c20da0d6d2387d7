#include "kernels/cudnn/library.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <map>

#include "core/check.h"
#include "core/device.h"

namespace d2deploy::cudnn {

namespace {

constexpr std::size_t kOldest = 90000;  // cuDNN 9.0

std::string version_text(std::size_t version) {
  if (version < 10000) return join(version / 1000, '.', version % 1000 / 100, '.', version % 100);  // until 8
  return join(version / 10000, '.', version % 10000 / 100, '.', version % 100);
}

template <class F>
void find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  d2deploy::check<DeviceError>(function != nullptr, "cuDNN: libcudnn.so.9 has no ", name,
                               "; install another: pip install nvidia-cudnn-cu13");
}

Functions open() {
  const char* given = std::getenv("D2DEPLOY_CUDNN_LIBRARY");
  const char* name = given != nullptr && *given != '\0' ? given : "libcudnn.so.9";
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    fail<DeviceError>("a GPU needs cuDNN 9, which was not found: ", why == nullptr ? name : why,
                      "; install it: pip install nvidia-cudnn-cu13, and name its file: "
                      "D2DEPLOY_CUDNN_LIBRARY=/path/libcudnn.so.9");
  }
  Functions f{};
  find(library, "cudnnGetVersion", f.GetVersion);
  d2deploy::check<DeviceError>(f.GetVersion() >= kOldest, "a GPU needs cuDNN 9.0 or later, ", name, " is ",
                               version_text(f.GetVersion()),
                               "; install a newer one: pip install --upgrade nvidia-cudnn-cu13");
  find(library, "cudnnCreate", f.Create);
  find(library, "cudnnDestroy", f.Destroy);
  find(library, "cudnnSetStream", f.SetStream);
  find(library, "cudnnGetErrorString", f.GetErrorString);
  find(library, "cudnnGetLastErrorString", f.GetLastErrorString);
  find(library, "cudnnBackendCreateDescriptor", f.BackendCreateDescriptor);
  find(library, "cudnnBackendDestroyDescriptor", f.BackendDestroyDescriptor);
  find(library, "cudnnBackendSetAttribute", f.BackendSetAttribute);
  find(library, "cudnnBackendGetAttribute", f.BackendGetAttribute);
  find(library, "cudnnBackendFinalize", f.BackendFinalize);
  find(library, "cudnnBackendExecute", f.BackendExecute);
  return f;
}

}  // namespace

const Functions& functions() {
  static const Functions all = open();
  return all;
}

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> text{};
  functions().GetLastErrorString(text.data(), text.size());
  fail<DeviceError>("cuDNN: ", what, ": ", functions().GetErrorString(status), ": ", text.data());
}

Handle& Handle::of(int device) {
  static std::mutex mutex;
  static std::map<int, Handle> handles;
  const std::scoped_lock lock(mutex);
  Handle& handle = handles[device];
  if (handle.handle_ == nullptr) {
    const DeviceScope scope({Device::cuda, device});
    check(functions().Create(&handle.handle_), "starting");
  }
  return handle;
}

}  // namespace d2deploy::cudnn
