#include "core/check.h"

#include <cxxabi.h>

#include <charconv>

namespace d2deploy {

namespace detail {

namespace {

template <class... Number>
void append_chars(std::string& text, Number... number) {
  char buffer[32];
  text.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, number...).ptr);
}

}  // namespace

void append(std::string& text, std::int64_t number) { append_chars(text, number); }
void append(std::string& text, std::uint64_t number) { append_chars(text, number); }
void append(std::string& text, double number) {
  constexpr int kDigits = 6;
  append_chars(text, number, std::chars_format::general, kDigits);
}

void Part::append_text(std::string& out, const void* text) { out += static_cast<const char*>(text); }

std::string join(Parts parts) {
  std::string text;
  for (const Part& part : parts) part.write(text);
  return text;
}

}  // namespace detail

void rethrow_as_error() {
  try {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw OutOfMemory();
  } catch (const abi::__forced_unwind&) {
    throw;  // the thread is cancelled: glibc ends the process where somebody stops this one
  } catch (const std::exception& e) {
    fail<InternalError>(e.what());
  } catch (...) {
    fail<InternalError>("an exception of unknown type");
  }
}

void rethrow_with_context(const std::string& context) {
  try {
    rethrow_as_error();
  } catch (const InvalidModel& e) {
    fail<InvalidModel>(context, ": ", e.what());
  } catch (const InvalidArgument& e) {
    fail<InvalidArgument>(context, ": ", e.what());
  } catch (const Unsupported& e) {
    fail<Unsupported>(context, ": ", e.what());
  } catch (const OutOfMemory& e) {
    fail<OutOfMemory>(context, ": ", e.what());
  } catch (const DeviceError& e) {
    fail<DeviceError>(context, ": ", e.what());
  } catch (const InternalError& e) {
    fail<InternalError>(context, ": ", e.what());
  } catch (const Error& e) {
    fail<Error>(context, ": ", e.what());
  }
}

void detail::rethrow_with_context_of(const std::function<std::string()>& context) {
  std::string text;
  try {
    text = context();
  } catch (const std::bad_alloc&) {
    throw OutOfMemory();
  }
  rethrow_with_context(text);
}

}  // namespace d2deploy
