// A file in memory, read only.
#pragma once
#include <filesystem>
#include <memory>

#include "io/bytes.h"

namespace d2deploy {

/// The bytes of a regular file, as they were when it was read. Deliberately no mapping: whoever shortens a mapped file
/// ends the process that looks at it (SIGBUS).
class FileBytes {
 public:
  /// Throws InvalidArgument, with the path, where the file is missing, no regular file, or not readable, or becomes
  /// shorter meanwhile; Unsupported where it has 2 GiB or more, which no protobuf message has.
  explicit FileBytes(const std::filesystem::path& path);

  Bytes bytes() const { return {static_cast<const std::byte*>(data_.get()), size_}; }
  /// Gives the memory of what lies before `end` back, roughly; those bytes must not be looked at any more.
  void release_before(const std::byte* end);

 private:
  std::shared_ptr<void> data_;
  std::size_t size_ = 0, released_ = 0;
};

}  // namespace d2deploy
