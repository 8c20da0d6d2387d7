#include "io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "core/check.h"
#include "core/memory.h"

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

}  // namespace

FileBytes::FileBytes(const std::filesystem::path& path) {
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
  data_ = allocate(size);
  while (size_ < size) {
    const auto count = ::read(file.get(), static_cast<std::byte*>(data_.get()) + size_, size - size_);
    if (count < 0 && errno == EINTR) continue;
    check(count >= 0, name, ": cannot be read: ", reason(errno));
    check(count > 0, name, ": ends after ", size_, " of its ", size,
          " bytes; was it changed meanwhile? Replace model files by renaming, not by writing into them");
    size_ += static_cast<std::size_t>(count);
  }
}

void FileBytes::release_before(const std::byte* end) {
  constexpr std::size_t kBlock = std::size_t{2} << 20;  // a huge page; allocate() aligns large blocks to it
  const auto whole = static_cast<std::size_t>(end - bytes().data()) / kBlock * kBlock;
  if (whole <= released_) return;
  // A refusal, as for a small block that is not aligned, only keeps the memory longer.
  (void)::madvise(static_cast<std::byte*>(data_.get()) + released_, whole - released_, MADV_DONTNEED);
  released_ = whole;
}

}  // namespace d2deploy
