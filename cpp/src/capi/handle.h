// What C's handles are: objects that begin with their kind, so that one in the place of another is found.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "capi/call.h"
#include "d2deploy/detector.h"

namespace d2deploy::capi {

// Numbers that other memory hardly begins with.
enum class Kind : std::uint64_t {
  freed = 0,
  detector = 0x6432'645F'BE6D'0A01,
  prediction = 0x6432'645F'BE6D'0A02,
  polygons = 0x6432'645F'BE6D'0A03,
  model = 0x6432'645F'BE6D'0A04,
  session = 0x6432'645F'BE6D'0A05,
};
/// As "d2d_detector"; null for other numbers.
const char* name(Kind kind);

struct Handle {
  explicit Handle(Kind of) : kind(of) {}
  /// Written although nobody may read it: it tells what was freed, as long as the memory is not used otherwise.
  ~Handle() { const_cast<volatile Kind&>(kind) = Kind::freed; }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Kind kind;
};

/// Throws InvalidArgument where a pointer is not to a handle of that kind.
void check_handle(const void* handle, Kind wanted);

template <class H>
H& object(H* handle) {
  check_handle(handle, std::remove_const_t<H>::kKind);
  return *handle;
}

/// The body of a function that makes a handle: `make` gives a unique_ptr, and `*out` is null where it throws.
template <class H, class Make>
d2d_status create(const char* function, H** out, const Make& make) {
  return call(function, [&] {
    H*& handle = required(out, "the pointer that gets the handle");
    handle = nullptr;
    handle = make().release();
  });
}

/// The body of a function that frees one.
template <class H>
d2d_status destroy(const char* function, H* handle) {
  return call(function, [&] {
    if (handle != nullptr) delete &object(handle);
  });
}

/// Texts as C has them; they are those of the list.
using Names = std::vector<const char*>;
Names names_of(const std::vector<std::string>& list);
void give(const Names& from, const char* const** names, std::int64_t* count);

}  // namespace d2deploy::capi

// NOLINTBEGIN(readability-identifier-naming): these are C's
struct d2d_prediction : d2deploy::capi::Handle {
  static constexpr auto kKind = d2deploy::capi::Kind::prediction;
  explicit d2d_prediction(d2deploy::Prediction prediction);

  d2deploy::Prediction found;
  std::vector<d2d_keypoint> keypoints;
  std::vector<d2d_segment> segments;
};
// NOLINTEND(readability-identifier-naming)
