#include "io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/check.h"

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

MappedFile::MappedFile(const std::filesystem::path& path) {
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
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ == 0) return;  // nothing to map
  data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data_ == MAP_FAILED) {
    data_ = nullptr;
    fail<InvalidArgument>(name, ": cannot be mapped into memory: ", reason(errno));
  }
  (void)::madvise(data_, size_, MADV_SEQUENTIAL);  // only advice
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

void MappedFile::release_before(const std::byte* end) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto whole = static_cast<std::size_t>(end - bytes().data()) / page * page;
  if (whole <= released_) return;
  (void)::madvise(static_cast<std::byte*>(data_) + released_, whole - released_, MADV_DONTNEED);
  released_ = whole;
}

}  // namespace d2deploy
