#include "core/check.h"

#include <charconv>
#include <new>

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
