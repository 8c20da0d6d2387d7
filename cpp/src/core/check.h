// Checks that throw with a message put together from parts, and context added on the way up.
#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>

#include "d2deploy/error.h"

namespace d2deploy {

namespace detail {

// Numbers as C writes them, whatever the locale, since texts are data too; six digits of floating-point ones.
void append(std::string& text, std::int64_t number);
void append(std::string& text, std::uint64_t number);
void append(std::string& text, double number);

template <class Part>
void append_part(std::string& text, const Part& part) {
  if constexpr (std::is_convertible_v<const Part&, std::string_view>)
    text += std::string_view(part);
  else if constexpr (std::is_same_v<Part, char>)
    text += part;
  else if constexpr (std::floating_point<Part>)
    append(text, static_cast<double>(part));
  else if constexpr (std::signed_integral<Part>)
    append(text, static_cast<std::int64_t>(part));
  else if constexpr (std::unsigned_integral<Part>)
    append(text, static_cast<std::uint64_t>(part));
  else if constexpr (requires { name(part); })
    text += name(part);
  else
    text += to_string(part);
}

}  // namespace detail

/// The parts, written one after the other: texts, numbers, and what `name` or `to_string` takes.
template <class... Parts>
std::string join(const Parts&... parts) {
  std::string text;
  (detail::append_part(text, parts), ...);
  return text;
}

/// There is no memory left, not even for a message: making this one takes none.
class OutOfMemory final : public DeviceError {
 public:
  OutOfMemory() : DeviceError("") {}
  const char* what() const noexcept override { return "out of memory"; }
};

/// Throws E with a message that is put together from `parts`, or OutOfMemory where there is none for it.
template <class E, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  try {
    throw E(join(parts...));
  } catch (const std::bad_alloc&) {
    throw OutOfMemory();
  }
}

/// Throws E, with the message, unless the condition holds.
template <class E = InvalidArgument, class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail<E>(parts...);
}

/// Rethrows the exception in flight as the Error that it is, or stands for: DeviceError for lack of memory,
/// InternalError for what nobody expected.
[[noreturn]] void rethrow_as_error();

/// The same, with "context: " before its message.
[[noreturn]] void rethrow_with_context(const std::string& context);

namespace detail {
[[noreturn]] void rethrow_with_context_of(const std::function<std::string()>& context);
}  // namespace detail

/// Runs `f`; an error on the way gets "context: " before its message. `context` is a callable so
/// that the text is made only when there is an error.
template <class Context, class F>
auto with_context(const Context& context, F&& f) {
  try {
    return f();
  } catch (const std::exception&) {
    detail::rethrow_with_context_of(std::ref(context));
  }
}

/// Runs `f`, a function of the public API, which only an Error may leave.
template <class F>
decltype(auto) guarded(F&& f) {
  try {
    return f();
  } catch (...) {
    rethrow_as_error();
  }
}

}  // namespace d2deploy
