#include "reference/caffe2_library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

#include "core/check.h"

namespace d2deploy {

namespace {

constexpr const char* kAdvice = "; scripts/build_caffe2_engine builds the library";

std::filesystem::path default_path() {
  if (const char* path = std::getenv("D2DEPLOY_CAFFE2_LIBRARY")) return path;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path root = cache ? cache : std::filesystem::path(home ? home : ".") / ".cache";
  return root / "d2deploy" / "caffe2" / "libd2deploy_caffe2.so";
}

template <class F>
void find(void* library, const std::filesystem::path& path, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  check<Unsupported>(function != nullptr, path.string(), ": is not the Caffe2 engine: it has no ", name, kAdvice);
}

}  // namespace

void Caffe2Library::check_process() {
  // Of the first call, which is where the library is loaded: like it, this is the process's.
  static const pid_t loaded_in = getpid();
  check<DeviceError>(
      getpid() == loaded_in,
      "engine caffe2: this process was forked from one that had loaded the engine, whose threads it does "
      "not have; start it anew instead (spawn), or load the engine after the fork alone");
}

Caffe2Library Caffe2Library::open(const std::filesystem::path& wanted) {
  const auto path = wanted.empty() ? default_path() : wanted;
  std::error_code ignored;
  check<Unsupported>(std::filesystem::exists(path, ignored), "engine caffe2: there is no library ", path.string(),
                     kAdvice);
  // Lazy: libtorch leaves symbols of MKL undefined that are never called. Local and deep: its protobuf and OpenMP are
  // others than ours and must not mix with them.
  void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL | RTLD_DEEPBIND);
  if (library == nullptr) {
    const std::string reason = dlerror();
    // The libtorch of another PyTorch has the same names, so the loader takes it for the engine's own.
    check<Unsupported>(dlopen("libc10.so", RTLD_LAZY | RTLD_NOLOAD) == nullptr, "engine caffe2: cannot load ",
                       path.string(), ": PyTorch is loaded in this process; run the engine in a process of its own");
    fail<Unsupported>("engine caffe2: cannot load ", path.string(), ": ", reason, kAdvice);
  }
  decltype(&d2deploy_caffe2_abi) abi = nullptr;
  find(library, path, "d2deploy_caffe2_abi", abi);
  check<Unsupported>(abi() == D2DEPLOY_CAFFE2_ABI, path.string(), ": is version ", abi(), " of the engine, wanted ",
                     D2DEPLOY_CAFFE2_ABI, kAdvice);
  check_process();
  Caffe2Library out;
  find(library, path, "d2deploy_caffe2_error", out.error);
  find(library, path, "d2deploy_caffe2_load", out.load);
  find(library, path, "d2deploy_caffe2_run", out.run);
  find(library, path, "d2deploy_caffe2_output", out.output);
  find(library, path, "d2deploy_caffe2_free", out.free);
  return out;
}

}  // namespace d2deploy
