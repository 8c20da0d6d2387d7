// A file in memory, read only, page by page as it is looked at.
#pragma once
#include <filesystem>

#include "io/bytes.h"

namespace d2deploy {

/// Maps a regular file. Somebody who shortens the file meanwhile ends the process (SIGBUS), as with any mapping:
/// replace model files by renaming, not by writing into them.
class MappedFile {
 public:
  /// Throws InvalidArgument, with the path, where it is missing, no regular file, or not readable.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  Bytes bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  /// Gives the memory of whole pages before `end` back; the bytes stay readable.
  void release_before(const std::byte* end);

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0, released_ = 0;
};

}  // namespace d2deploy
