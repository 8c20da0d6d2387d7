// Checks that throw with a message put together from parts, and context added on the way up.
#pragma once
#include <concepts>
#include <cstdint>
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
