// Checks that throw with a message put together from parts, and context added on the way up.
#pragma once
#include <sstream>
#include <string>

#include "d2deploy/error.h"

namespace d2deploy {

/// The parts, written one after the other.
template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

/// Throws E with a message that is put together from `parts`.
template <class E, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw E(join(parts...));
}

/// Throws E, with the message, unless the condition holds.
template <class E = InvalidArgument, class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail<E>(parts...);
}

/// Rethrows the error in flight, of the same type, with "context: " before its message.
[[noreturn]] void rethrow_with_context(const std::string& context);

/// Runs `f`; an error on the way gets "context: " before its message. `context` is a callable so
/// that the text is made only when there is an error.
template <class Context, class F>
auto with_context(const Context& context, F&& f) {
  try {
    return f();
  } catch (const std::exception&) {
    rethrow_with_context(context());
  }
}

}  // namespace d2deploy
