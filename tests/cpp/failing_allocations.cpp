#include "failing_allocations.h"

#include <gtest/gtest.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>
#include <string_view>

#include "d2deploy/error.h"

namespace {

struct Failures {
  bool on = false, all_that_follow = false;
  std::int64_t at = 0, seen = 0;
};
thread_local Failures failures;

// Where oneDNN lies in memory: it does not survive that its own allocations fail, neither by malloc nor by new.
struct OnednnCode {
  std::uintptr_t begin = 0, end = 0;
};
OnednnCode onednn;

int find_onednn(dl_phdr_info* library, std::size_t, void*) {
  if (std::string_view(library->dlpi_name).find("libdnnl") == std::string_view::npos) return 0;
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    const auto& part = library->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    onednn.begin = library->dlpi_addr + part.p_vaddr;
    onednn.end = onednn.begin + part.p_memsz;
  }
  return 1;
}

bool fails(const void* caller) {
  const auto address = reinterpret_cast<std::uintptr_t>(caller);
  if (!failures.on || (address >= onednn.begin && address < onednn.end)) return false;
  ++failures.seen;
  return failures.all_that_follow ? failures.seen >= failures.at : failures.seen == failures.at;
}

}  // namespace

// The linker puts the second function in the place of aligned_alloc.
extern "C" void* __real_aligned_alloc(std::size_t alignment, std::size_t bytes);
extern "C" void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return fails(__builtin_return_address(0)) ? nullptr : __real_aligned_alloc(alignment, bytes);
}

void* operator new(std::size_t bytes) {
  void* data = fails(__builtin_return_address(0)) ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return fails(__builtin_return_address(0)) ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  void* data =
      fails(__builtin_return_address(0)) ? nullptr : __real_aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
// Both ends of the pair stand here, which the compiler does not see.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }

// protobuf itself loses an element that was made for a list which then finds no memory to grow.
extern "C" [[gnu::visibility("default")]] const char* __lsan_default_suppressions() {
  return "leak:google::protobuf::";
}

namespace d2deploy::testing {

void end_failures() { failures.on = false; }

Outcome attempt(const Answer& call, std::int64_t at, bool all_that_follow) {
  if (onednn.end == 0) (void)dl_iterate_phdr(find_onednn, nullptr);
  Outcome outcome;
  failures = {true, all_that_follow, at, 0};
  try {
    outcome.answer = call();
    failures.on = false;
  } catch (const DeviceError& e) {
    failures.on = false;
    outcome.error = std::string("DeviceError: ") + e.what();
  } catch (const Error& e) {
    failures.on = false;
    outcome.error = std::string("Error: ") + e.what();
  } catch (const std::exception& e) {
    failures.on = false;
    outcome.error = std::string("another exception: ") + e.what();
  }
  outcome.failed = failures.seen >= at;
  return outcome;
}

void expect_right(const std::string& what, std::int64_t at, const Outcome& outcome, const std::string& want) {
  // A sort that gets no buffer goes on without one: then there is an answer.
  const bool right = outcome.error.empty() ? outcome.answer == want : outcome.error.starts_with("DeviceError: ");
  EXPECT_TRUE(right) << what << ": allocation " << at << ": "
                     << (outcome.error.empty() ? "another answer" : outcome.error);
}

Places::Places(std::int64_t all, std::int64_t most) : stride_(std::max<std::int64_t>(1, all / most)) {}

std::int64_t allocations_of(const Answer& call) {
  (void)attempt(call, std::numeric_limits<std::int64_t>::max(), false);
  return failures.seen;
}

std::int64_t fail_one_after_the_other(const std::string& what, const Answer& call, bool all_that_follow,
                                      std::int64_t most) {
  const std::string want = call();
  const std::int64_t all = allocations_of(call);
  Places places(all, most);
  for (bool failed = true; failed && !::testing::Test::HasFailure();) {
    const std::int64_t at = places.next();
    const Outcome outcome = attempt(call, at, all_that_follow);
    expect_right(what, at, outcome, want);
    failed = outcome.failed;
  }
  return all;
}

}  // namespace d2deploy::testing
