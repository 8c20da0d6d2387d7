#include "core/cache_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "core/checksum.h"
#include "core/memory.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

using Bytes = std::span<const std::byte>;

// The file: Header, an Entry for each part, then the parts, each at a multiple of kAlignment. Numbers as they lie in
// memory: a machine of another kind has another key.
constexpr std::array<char, 16> kMagic{"d2deploy cache1"};
struct Header {
  std::array<char, 16> magic;
  std::uint64_t key, parts, checksum;  // the last: of the key and of all entries
};
struct Entry {
  std::uint64_t bytes, checksum;
};

std::uint64_t checksum_of(std::uint64_t key, std::span<const Entry> entries) {
  Checksum sum;
  sum.add(&key, sizeof key);
  sum.add(entries.data(), entries.size_bytes());
  return sum.result();
}

std::size_t place_of_parts(std::size_t parts) { return align_up(sizeof(Header) + parts * sizeof(Entry)); }

bool read_all(int file, void* to, std::size_t bytes, std::size_t offset) {
  for (std::size_t done = 0; done < bytes;) {
    const auto count =
        ::pread(file, static_cast<std::byte*>(to) + done, bytes - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

bool write_all(int file, const void* from, std::size_t bytes, std::size_t offset) {
  for (std::size_t done = 0; done < bytes;) {
    const auto count =
        ::pwrite(file, static_cast<const std::byte*>(from) + done, bytes - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

// A file over the process's limit is an error of write(), as one over the disk's is; the signal would end the process.
class NoFileSizeSignal {
 public:
  NoFileSizeSignal() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~NoFileSizeSignal() {
    if (sigismember(&before_, SIGXFSZ) == 1) return;
    const timespec at_once{0, 0};
    while (sigtimedwait(&set_, nullptr, &at_once) < 0 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoFileSizeSignal(const NoFileSizeSignal&) = delete;
  NoFileSizeSignal& operator=(const NoFileSizeSignal&) = delete;

 private:
  sigset_t set_{}, before_{};
};

bool is_file_at(int file, const char* path) {
  struct stat a {
  }, b{};
  return ::fstat(file, &a) == 0 && ::lstat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool write_parts(int file, std::uint64_t key, std::span<const Bytes> parts) {
  std::vector<Entry> entries;
  for (const Bytes part : parts) entries.push_back({part.size(), checksum_in_parts(part)});
  const Header header{kMagic, key, entries.size(), checksum_of(key, entries)};
  std::size_t at = place_of_parts(parts.size());
  if (::ftruncate(file, 0) != 0 || !write_all(file, &header, sizeof header, 0) ||
      !write_all(file, entries.data(), entries.size() * sizeof(Entry), sizeof header))
    return false;
  for (const Bytes part : parts) {
    if (!write_all(file, part.data(), part.size(), at)) return false;
    at += align_up(part.size());
  }
  return ::ftruncate(file, static_cast<off_t>(at)) == 0;
}

std::string reason(int error) { return std::generic_category().message(error); }

}  // namespace

// A folder of the user is named as Python has it, since both keep things there.
std::optional<std::filesystem::path> cache_folder() {
  const char* folder = std::getenv("D2DEPLOY_CACHE");
  if (folder == nullptr || *folder == '\0') return std::nullopt;
  const char* home = std::getenv("HOME");
  const std::string_view name = folder;
  if (home == nullptr || !name.starts_with("~/")) return name;
  return std::filesystem::path(home) / name.substr(2);
}

CacheFile::~CacheFile() {
  if (file_ >= 0) ::close(file_);
}

CacheFile::CacheFile(CacheFile&& other) noexcept
    : file_(std::exchange(other.file_, -1)), parts_(std::move(other.parts_)) {}

CacheFile& CacheFile::operator=(CacheFile&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(parts_, other.parts_);
  return *this;
}

std::optional<CacheFile> CacheFile::open(const std::filesystem::path& path, std::uint64_t key, std::string& why) {
  why.clear();
  CacheFile cache;
  cache.file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info {};
  if (cache.file_ < 0 || ::fstat(cache.file_, &info) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) why = "cannot be read: " + reason(errno);
    return std::nullopt;
  }
  const auto size = static_cast<std::size_t>(std::max<off_t>(info.st_size, 0));
  Header header{};
  why = "is no file of this cache, or damaged";
  if (!S_ISREG(info.st_mode) || size < sizeof header || !read_all(cache.file_, &header, sizeof header, 0) ||
      header.magic != kMagic)
    return std::nullopt;
  if (header.parts > (size - sizeof header) / sizeof(Entry)) return std::nullopt;
  std::vector<Entry> entries(header.parts);
  if (!read_all(cache.file_, entries.data(), entries.size() * sizeof(Entry), sizeof header) ||
      header.checksum != checksum_of(header.key, entries))
    return std::nullopt;
  std::size_t at = place_of_parts(entries.size());
  for (const Entry& entry : entries) {
    if (at > size || entry.bytes > size - at) return std::nullopt;
    cache.parts_.push_back({entry.bytes, entry.checksum, at});
    at += align_up(entry.bytes);
  }
  if (at != size) return std::nullopt;
  why = kOfOther;
  if (header.key != key) return std::nullopt;
  why.clear();
  return cache;
}

bool CacheFile::read(std::size_t part, void* to) const {
  const Part& wanted = parts_[part];
  std::vector<std::uint64_t> sums((wanted.bytes + kChecksumPart - 1) / kChecksumPart);
  std::atomic<bool> sound{true};
  // In several threads, since the system clears the memory first; and looked at while it is in the processor's cache.
  parallel_for(static_cast<std::int64_t>(sums.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const std::size_t first = i * kChecksumPart, bytes = std::min(kChecksumPart, wanted.bytes - first);
      std::byte* place = static_cast<std::byte*>(to) + first;
      if (!read_all(file_, place, bytes, wanted.offset + first)) {
        sound = false;
        return;
      }
      Checksum sum;
      sum.add(place, bytes);
      sums[i] = sum.result();
    }
  });
  return sound && checksum_of_parts(sums) == wanted.checksum;
}

std::string write_cache_file(const std::filesystem::path& path, std::uint64_t key, std::span<const Bytes> parts) {
  const NoFileSizeSignal no_signal;
  const std::string beside = path.string() + ".tmp";
  constexpr mode_t kMode = 0644;
  const int file = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kMode);
  if (file < 0) return reason(errno);
  std::string why;
  // Whoever holds the lock of the file that has the name beside is the one who writes; a killed one holds it no more.
  if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    why = errno == EWOULDBLOCK ? "" : reason(errno);
  } else if (is_file_at(file, beside.c_str())) {
    if (!write_parts(file, key, parts) || ::rename(beside.c_str(), path.c_str()) != 0) {
      why = reason(errno);
      (void)::unlink(beside.c_str());
    }
  }
  ::close(file);
  return why;
}

}  // namespace d2deploy
