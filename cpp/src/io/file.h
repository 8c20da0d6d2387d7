// A file in memory.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "io/bytes.h"

namespace d2deploy {

/// What the system says of a file. Nobody can set `changed` but by the clock: two files, or one at two times, that are
/// equal in all of this have equal bytes, if `changed` is some seconds past.
struct FileStamp {
  std::uint64_t device = 0, inode = 0, bytes = 0;
  std::int64_t modified = 0, changed = 0;  ///< nanoseconds since 1970

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
/// None where there is no such file, or it is not regular.
std::optional<FileStamp> stamp_of(const std::filesystem::path& path);

/// What becomes of a file in memory: all of its bytes, or what read_sparsely leaves of them.
enum class Reading { whole, sparse };

/// The bytes of a regular file, as they were when it was read. Deliberately no mapping: whoever shortens a mapped file
/// ends the process that looks at it (SIGBUS).
class FileBytes {
 public:
  /// Throws InvalidArgument, with the path, where the file is missing, no regular file, or not readable, or becomes
  /// shorter meanwhile; Unsupported where it has 2 GiB or more, which no protobuf message has.
  explicit FileBytes(const std::filesystem::path& path, Reading reading = Reading::whole);

  Bytes bytes() const { return {static_cast<const std::byte*>(data_.get()), size_}; }
  /// The memory that the bytes lie in, for whoever makes something else of them.
  const std::shared_ptr<void>& memory() const { return data_; }
  /// Where runs begin of which the values alone are there.
  const std::set<const std::byte*>& dense_runs() const { return dense_runs_; }
  /// What it was when it was opened.
  const FileStamp& stamp() const { return stamp_; }

 private:
  void read_part(int file, const std::string& name, std::size_t begin, std::span<std::byte> bytes) const;
  void read_whole(int file, const std::string& name);

  std::shared_ptr<void> data_;
  std::size_t size_ = 0;
  std::set<const std::byte*> dense_runs_;
  FileStamp stamp_;
};

/// Gives the whole pages of these bytes back to the system; what they hold is lost.
void release_pages(Bytes bytes);

}  // namespace d2deploy
