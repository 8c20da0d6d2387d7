// Messages of the library. It never writes to a stream itself.
#pragma once
#include <functional>
#include <string_view>

#pragma GCC visibility push(default)
namespace d2deploy {

enum class LogLevel {
  debug,    ///< which pass changed what, which kernel was refused and why
  warning,  ///< something odd in a model file, or an option that cannot be had, which does not stop it
};
using Log = std::function<void(LogLevel, std::string_view)>;

}  // namespace d2deploy
#pragma GCC visibility pop
