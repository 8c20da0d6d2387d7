// Checks that throw with a message put together from parts, and context added on the way up.
#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>

#include "d2deploy/error.h"

namespace d2deploy {

/// The memory does not suffice.
class OutOfMemory final : public DeviceError {
 public:
  OutOfMemory() : DeviceError("") {}  ///< there is none left, not even for a message: making this one takes none
  using DeviceError::DeviceError;
  const char* what() const noexcept override {
    const char* message = DeviceError::what();
    return *message == '\0' ? "out of memory" : message;
  }
};

namespace detail {

// Numbers as C writes them, whatever the locale, since texts are data too; six digits of floating-point ones.
void append(std::string& text, std::int64_t number);
void append(std::string& text, std::uint64_t number);
void append(std::string& text, double number);

template <class T>
void append_part(std::string& text, const T& part) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>)
    text += std::string_view(part);
  else if constexpr (std::is_same_v<T, char>)
    text += part;
  else if constexpr (std::floating_point<T>)
    append(text, static_cast<double>(part));
  else if constexpr (std::signed_integral<T>)
    append(text, static_cast<std::int64_t>(part));
  else if constexpr (std::unsigned_integral<T>)
    append(text, static_cast<std::uint64_t>(part));
  else if constexpr (requires { name(part); })
    text += name(part);
  else
    text += to_string(part);
}

// A part of a message, without its type: messages are many, and the code that writes one is the same for all.
class Part {
 public:
  Part(const char* text) : value_(text), append_(append_text) {}
  template <class T>
  requires(!std::is_array_v<T>) Part(const T& part)
      : value_(&part), append_([](std::string& out, const void* p) { append_part(out, *static_cast<const T*>(p)); }) {}

  void write(std::string& out) const { append_(out, value_); }

 private:
  static void append_text(std::string& out, const void* text);

  const void* value_;
  void (*append_)(std::string&, const void*);
};
using Parts = std::initializer_list<Part>;

std::string join(Parts parts);

template <class E>
[[noreturn, gnu::cold, gnu::noinline]] void fail(Parts parts) {
  try {
    throw E(join(parts));
  } catch (const std::bad_alloc&) {
    throw OutOfMemory();
  }
}

}  // namespace detail

/// The parts, written one after the other: texts, numbers, and what `name` or `to_string` takes.
template <class... Ts>
std::string join(const Ts&... parts) {
  return detail::join({detail::Part(parts)...});
}

/// Throws E with a message that is put together from `parts`, or OutOfMemory where there is none for it.
template <class E, class... Ts>
[[noreturn]] void fail(const Ts&... parts) {
  detail::fail<E>({detail::Part(parts)...});
}

/// Throws E, with the message, unless the condition holds.
template <class E = InvalidArgument, class... Ts>
void check(bool condition, const Ts&... parts) {
  if (!condition) [[unlikely]]
    detail::fail<E>({detail::Part(parts)...});
}

/// Rethrows the exception in flight as the Error that it is, or stands for: OutOfMemory for lack of memory,
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
