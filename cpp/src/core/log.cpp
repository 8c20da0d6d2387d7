#include "core/log.h"

namespace d2deploy::detail {

void send(const Log& sink, LogLevel level, const std::string& text) {
  try {
    sink(level, text);
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    fail<InvalidArgument>("the log function threw an exception: ", e.what());
  }
}

}  // namespace d2deploy::detail
