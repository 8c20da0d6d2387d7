// A GPU that is the host: its streams, whose work is done at once or recorded, and what tests make of it.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace d2deploy {

/// What one holds, and what tests ask of it.
struct EmulatedDevice {
  std::atomic<std::size_t> bytes = 0;                           ///< of its memory in use
  std::atomic<std::size_t> allocations = 0;                     ///< so far, of memory that the host reaches, too
  std::atomic<std::size_t> capacity = SIZE_MAX;                 ///< the most `bytes`
  std::atomic<std::int64_t> launches_left = INT64_MAX;          ///< so many succeed, the others are refused
  std::atomic<std::int64_t> launches_until_broken = INT64_MAX;  ///< the next kernel does what it must not
  std::atomic<bool> broken = false;                             ///< one did: no call succeeds any more
};
inline constexpr int kEmulatedDevices = 2;
EmulatedDevice& emulated_device(int index);

struct EmulatedLaunch {
  const char* name = "";
  std::array<std::int64_t, 7> size{};  ///< blocks, threads, shared bytes

  friend bool operator==(const EmulatedLaunch&, const EmulatedLaunch&) = default;
};

struct EmulatedStream {
  int device = 0;
  std::vector<std::function<void()>>* recording = nullptr;
  std::vector<EmulatedLaunch> launches;  ///< of the last recording
  int synchronizations = 0;              ///< how often the host waited for it
  int submissions = 0;                   ///< how often the host gave it work; a replay counts as one
  int pending = 0;                       ///< likewise, since the host last waited
  bool idle = false;                     ///< what it is given is not done: shows what the host does alone
};

/// `stream` may be null: one that nobody records.
template <class Work>
void submit(EmulatedStream* stream, Work work) {
  if (stream == nullptr) return work();
  if (stream->recording != nullptr) return stream->recording->push_back(std::move(work));
  ++stream->submissions;
  ++stream->pending;
  if (!stream->idle) work();
}

/// Throws where a GPU would refuse it: the device of the calling thread must be the stream's.
void check_launch(EmulatedStream& stream, const EmulatedLaunch& launch);

/// The same for a kernel.
template <class Work>
void submit_launch(void* handle, const EmulatedLaunch& launch, Work work) {
  auto* stream = static_cast<EmulatedStream*>(handle);
  if (stream != nullptr) check_launch(*stream, launch);
  submit(stream, std::move(work));
}

}  // namespace d2deploy
