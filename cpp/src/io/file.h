// A file in memory.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

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
  /// The memory that the bytes lie in, for whoever makes something else of them.
  const std::shared_ptr<void>& memory() const { return data_; }

 private:
  void read_part(int file, const std::string& name, std::size_t begin, std::size_t end);

  std::shared_ptr<void> data_;
  std::size_t size_ = 0;
};

/// Gives the whole pages of these bytes back to the system; what they hold is lost.
void release_pages(Bytes bytes);

}  // namespace d2deploy
