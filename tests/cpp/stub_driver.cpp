// A driver for CUDA D2DEPLOY_STUB_VERSION that has no GPU.
#include <cstdint>
#include <cstring>

extern "C" {
int cuDriverGetVersion(int* version) {
  *version = D2DEPLOY_STUB_VERSION;
  return 0;
}

// The CUDA runtime asks for all else by its name.
int cuGetProcAddress_v2(const char* symbol, void** function, int, std::uint64_t, int* found) {
  const auto no_device = [] { return 100; };  // CUDA_ERROR_NO_DEVICE
  int (*const answer)() = no_device;
  *function = std::strcmp(symbol, "cuDriverGetVersion") == 0      ? reinterpret_cast<void*>(&cuDriverGetVersion)
              : std::strncmp(symbol, "cuGetProcAddress", 16) == 0 ? reinterpret_cast<void*>(&cuGetProcAddress_v2)
                                                                  : reinterpret_cast<void*>(answer);
  if (found != nullptr) *found = 0;
  return 0;
}
}
