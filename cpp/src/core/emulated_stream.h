// The stream of a GPU that is the host: work is done at once, or recorded.
#pragma once
#include <functional>
#include <utility>
#include <vector>

namespace d2deploy {

struct EmulatedStream {
  std::vector<std::function<void()>>* recording = nullptr;
  int synchronizations = 0;  ///< how often the host waited for it
  int submissions = 0;       ///< how often the host gave it work; a replay counts as one
};

/// `stream` may be null: a stream that nobody records.
inline void submit(void* stream, std::function<void()> work) {
  auto* emulated = static_cast<EmulatedStream*>(stream);
  if (emulated != nullptr && emulated->recording != nullptr) {
    emulated->recording->push_back(std::move(work));
    return;
  }
  if (emulated != nullptr) ++emulated->submissions;
  work();
}

}  // namespace d2deploy
