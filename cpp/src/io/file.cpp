#include "io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "core/check.h"
#include "core/memory.h"
#include "core/threads.h"
#include "io/sparse_read.h"

namespace d2deploy {

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

class Descriptor {
 public:
  // Non-blocking, so that a named pipe is refused below instead of being waited for.
  explicit Descriptor(const char* path) : fd_(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

FileStamp stamp_of(const struct stat& info) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const auto time = [](const timespec& t) { return t.tv_sec * kSecond + t.tv_nsec; };
  return {info.st_dev, info.st_ino, static_cast<std::uint64_t>(info.st_size), time(info.st_mtim), time(info.st_ctim)};
}

}  // namespace

std::optional<FileStamp> stamp_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return stamp_of(info);
}

FileBytes::FileBytes(const std::filesystem::path& path, Reading reading) {
  const std::string name = path.string();
  check(!name.empty(), "the path of a model file is empty");
  const Descriptor file(name.c_str());
  if (file.get() < 0) {
    check(errno != ENOENT, name, ": there is no such file");
    fail<InvalidArgument>(name, ": cannot be read: ", reason(errno));
  }
  struct stat info {};
  check(::fstat(file.get(), &info) == 0, name, ": cannot be read: ", reason(errno));
  check(!S_ISDIR(info.st_mode), name, ": is a directory, wanted a file such as model.pb or model_init.pb in it");
  check(S_ISREG(info.st_mode), name, ": is not a regular file; copy its contents to one");
  const auto size = static_cast<std::size_t>(info.st_size);
  check<Unsupported>(size <= INT32_MAX, name, ": has ", size, " bytes; a Caffe2 net is a protobuf message, of at most ",
                     INT32_MAX, " bytes");
  stamp_ = stamp_of(info);
  data_ = allocate(size);
  size_ = size;
  if (reading == Reading::whole) {
    read_whole(file.get(), name);
    return;
  }
  auto* memory = static_cast<std::byte*>(data_.get());
  dense_runs_ = read_sparsely(
      memory, size, [&](std::size_t begin, std::span<std::byte> bytes) { read_part(file.get(), name, begin, bytes); });
}

// In several threads, since the system clears the memory first.
void FileBytes::read_whole(int file, const std::string& name) {
  constexpr std::size_t kPart = std::size_t{4} << 20;
  auto* memory = static_cast<std::byte*>(data_.get());
  parallel_for(static_cast<std::int64_t>((size_ + kPart - 1) / kPart), 1, [&](std::int64_t begin, std::int64_t end) {
    const std::size_t first = static_cast<std::size_t>(begin) * kPart;
    read_part(file, name, first, {memory + first, memory + std::min(size_, static_cast<std::size_t>(end) * kPart)});
  });
}

void FileBytes::read_part(int file, const std::string& name, std::size_t begin, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const auto count = ::pread(file, bytes.data(), bytes.size(), static_cast<off_t>(begin));
    if (count < 0 && errno == EINTR) continue;
    check(count >= 0, name, ": cannot be read: ", reason(errno));
    check(count > 0, name, ": ends after ", begin, " of its ", size_,
          " bytes; was it changed meanwhile? Replace model files by renaming, not by writing into them");
    begin += static_cast<std::size_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void release_pages(Bytes bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first = (begin + page - 1) / page * page, last = (begin + bytes.size()) / page * page;
  // A refusal only keeps the memory longer.
  if (first < last) (void)::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace d2deploy
