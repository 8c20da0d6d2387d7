// Protobuf's wire format, field by field, without copying and without trusting a length.
#pragma once
#include <cstdint>

#include "io/bytes.h"

namespace d2deploy {

enum class WireType : std::uint8_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };

struct WireField {
  std::uint32_t number = 0;
  WireType type = WireType::varint;
  Bytes payload;  ///< of WireType::length: what the length covers
  Bytes whole;    ///< with tag and length

  std::string_view text() const { return as_text(payload); }
};

/// Walks the fields of one message. Everything is checked against the end of the message.
class WireReader {
 public:
  /// Args: `file` holds `message`, which is called `what` in errors ("file", "operator").
  WireReader(Bytes file, Bytes message, const char* what) : file_(file), rest_(message), what_(what) {}

  bool done() const { return rest_.empty(); }
  /// Throws InvalidModel, with the byte of the file, where the message ends early or is no message.
  WireField next();
  /// What has not been read yet.
  Bytes rest() const { return rest_; }

 private:
  std::uint64_t varint(std::size_t start);
  Bytes take(std::uint64_t count, std::size_t start);
  std::size_t position() const { return static_cast<std::size_t>(rest_.data() - file_.data()); }

  Bytes file_, rest_;
  const char* what_;
};

}  // namespace d2deploy
