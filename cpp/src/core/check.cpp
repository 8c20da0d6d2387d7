#include "core/check.h"

#include <new>

namespace d2deploy {

void rethrow_with_context(const std::string& context) {
  const auto with = [&](const std::exception& e) { return context + ": " + e.what(); };
  try {
    throw;
  } catch (const InvalidModel& e) {
    throw InvalidModel(with(e));
  } catch (const InvalidArgument& e) {
    throw InvalidArgument(with(e));
  } catch (const Unsupported& e) {
    throw Unsupported(with(e));
  } catch (const DeviceError& e) {
    throw DeviceError(with(e));
  } catch (const std::bad_alloc&) {
    throw DeviceError(context + ": out of memory");
  } catch (const std::exception& e) {
    throw InternalError(with(e));
  }
}

}  // namespace d2deploy
