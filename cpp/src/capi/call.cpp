#include "capi/call.h"

#include <string>

#include "d2deploy/version.h"

namespace d2deploy::capi {

namespace {

struct LastError {
  d2d_status status = D2D_OK;
  std::string text;
  const char* message = "";
};
thread_local LastError last_error;

d2d_status note(d2d_status status, const char* function, const Error& error) {
  try {
    last_error.text = join(function, ": ", error.what());
    last_error.message = last_error.text.c_str();
    last_error.status = status;
  } catch (const std::bad_alloc&) {
    last_error.message = "out of memory";
    last_error.status = D2D_OUT_OF_MEMORY;
  }
  return last_error.status;
}

}  // namespace

d2d_status note_error(const char* function) {
  try {
    rethrow_as_error();
  } catch (const BufferTooSmall& e) {
    return note(D2D_BUFFER_TOO_SMALL, function, e);
  } catch (const InvalidArgument& e) {
    return note(D2D_INVALID_ARGUMENT, function, e);
  } catch (const InvalidModel& e) {
    return note(D2D_INVALID_MODEL, function, e);
  } catch (const Unsupported& e) {
    return note(D2D_UNSUPPORTED, function, e);
  } catch (const OutOfMemory& e) {
    return note(D2D_OUT_OF_MEMORY, function, e);
  } catch (const DeviceError& e) {
    return note(D2D_DEVICE_ERROR, function, e);
  } catch (const Error& e) {
    return note(D2D_INTERNAL_ERROR, function, e);
  }
}

}  // namespace d2deploy::capi

const char* d2d_version() { return D2DEPLOY_VERSION; }

int32_t d2d_abi_version() { return D2D_ABI_VERSION; }

const char* d2d_status_name(d2d_status status) {
  switch (status) {
    case D2D_OK: return "ok";
    case D2D_INVALID_ARGUMENT: return "invalid argument";
    case D2D_INVALID_MODEL: return "invalid model";
    case D2D_DEVICE_ERROR: return "device error";
    case D2D_BUFFER_TOO_SMALL: return "buffer too small";
    case D2D_UNSUPPORTED: return "unsupported";
    case D2D_INTERNAL_ERROR: return "internal error";
    case D2D_OUT_OF_MEMORY: return "out of memory";
    default: return "unknown status";
  }
}

d2d_status d2d_last_status() { return d2deploy::capi::last_error.status; }

const char* d2d_last_message() { return d2deploy::capi::last_error.message; }
