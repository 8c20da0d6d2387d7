// A GPU that is the host (kernels/simt runs its kernels), for tests.
#include <cstring>

#include "core/device_driver.h"
#include "core/memory.h"

namespace d2deploy {

namespace {

class EmulatedDriver : public HostDriver {
 public:
  std::string name(int) const override { return "emulated GPU"; }

  // Full of NaN: what is read before it was written shows.
  std::shared_ptr<void> allocate(int, std::size_t bytes) const override {
    auto memory = d2deploy::allocate(bytes);
    std::memset(memory.get(), 0xFF, bytes);
    return memory;
  }

  std::shared_ptr<void> make_stream(int) const override { return std::make_shared<char>(); }
};

}  // namespace

const DeviceDriver& cuda_driver() {
  static const EmulatedDriver driver;
  return driver;
}

}  // namespace d2deploy
