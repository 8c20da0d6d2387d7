// Files that only save work: whatever is odd about one, it is not there.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2deploy {

/// The folder that the environment variable D2DEPLOY_CACHE names, where there is one.
std::optional<std::filesystem::path> cache_folder();

/// A file of the cache: parts, each with a checksum, under a key that says what they are of. Deliberately no mapping: a
/// file that is cut off meanwhile would end the process.
class CacheFile {
 public:
  /// Why a sound file is not taken: its key.
  static constexpr std::string_view kOfOther = "is of another version, or of other model files";

  /// None where there is no such file, with `why` empty, or no sound one of this key; its parts are not looked at yet.
  static std::optional<CacheFile> open(const std::filesystem::path& path, std::uint64_t key, std::string& why);
  ~CacheFile();
  CacheFile(CacheFile&& other) noexcept;
  CacheFile& operator=(CacheFile&& other) noexcept;

  std::size_t parts() const { return parts_.size(); }
  std::size_t bytes(std::size_t part) const { return parts_[part].bytes; }
  /// Reads a part to its place. False: it is not as it was written. Thread-safe.
  bool read(std::size_t part, void* to) const;

 private:
  struct Part {
    std::size_t bytes;
    std::uint64_t checksum;
    std::size_t offset;
  };
  CacheFile() = default;

  int file_ = -1;
  std::vector<Part> parts_;
};

/// Writes such a file beside the place, and renames it. Of several that write the same one, in any processes, only the
/// first does. What a killed one left is written over.
/// Returns: why it could not be written; empty where it could, or where another writes it.
std::string write_cache_file(const std::filesystem::path& path, std::uint64_t key,
                             std::span<const std::span<const std::byte>> parts);

}  // namespace d2deploy
