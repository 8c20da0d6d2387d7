// Where messages go: to a function that the caller of the library gives, or nowhere.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "core/check.h"
#include "d2deploy/log.h"

namespace d2deploy {

namespace detail {
void send(const Log& sink, LogLevel level, const std::string& text);
}  // namespace detail

/// Throws InvalidArgument where the function throws what is not an Error.
template <class... Parts>
void log(const Log& sink, LogLevel level, const Parts&... parts) {
  if (sink) detail::send(sink, level, join(parts...));
}

}  // namespace d2deploy
