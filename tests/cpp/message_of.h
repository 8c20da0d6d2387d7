// What a call throws, as text to compare.
#pragma once
#include <exception>
#include <string>

namespace d2deploy {

/// The message of the E that `f` throws.
template <class E, class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  } catch (const std::exception& e) {
    return std::string("another error: ") + e.what();
  }
  return "nothing was thrown";
}

}  // namespace d2deploy
