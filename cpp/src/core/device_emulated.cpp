// A GPU that is the host (kernels/simt runs its kernels), for tests.
#include <cstring>

#include "core/check.h"
#include "core/device_driver.h"
#include "core/emulated_stream.h"
#include "core/memory.h"

namespace d2deploy {

namespace {

using Work = std::vector<std::function<void()>>;

class EmulatedDriver : public HostDriver {
 public:
  std::string name(int) const override { return "emulated GPU"; }

  // Full of NaN: what is read before it was written shows.
  std::shared_ptr<void> allocate(int, std::size_t bytes) const override {
    auto memory = d2deploy::allocate(bytes);
    std::memset(memory.get(), 0xFF, bytes);
    return memory;
  }

  std::shared_ptr<void> make_stream(int) const override { return std::make_shared<EmulatedStream>(); }

  void copy(void* to, const void* from, std::size_t bytes, void* stream) const override {
    submit(stream, [=] { std::memcpy(to, from, bytes); });
  }
  void clear(void* memory, std::size_t bytes, void* stream) const override {
    submit(stream, [=] { std::memset(memory, 0, bytes); });
  }

  // A GPU cannot wait for work that is being recorded, either.
  void synchronize(void* stream) const override {
    auto* emulated = static_cast<EmulatedStream*>(stream);
    check<InternalError>(emulated->recording == nullptr, "a stream that is recorded cannot be waited for");
    ++emulated->synchronizations;
  }

  std::shared_ptr<void> record(void* stream, const std::function<void()>& work) const override {
    struct Scope {
      EmulatedStream& stream;
      ~Scope() { stream.recording = nullptr; }
    };
    auto recorded = std::make_shared<Work>();
    const Scope scope{*static_cast<EmulatedStream*>(stream)};
    scope.stream.recording = recorded.get();
    work();
    return recorded;
  }

  void replay(void* recording, void* stream) const override {
    submit(stream, [=] {
      for (const auto& work : *static_cast<const Work*>(recording)) work();
    });
  }
};

}  // namespace

const DeviceDriver& cuda_driver() {
  static const EmulatedDriver driver;
  return driver;
}

}  // namespace d2deploy
