#include "capi/handle.h"

#include <cstring>

namespace d2deploy::capi {

const char* name(Kind kind) {
  switch (kind) {
    case Kind::freed: break;
    case Kind::detector: return "d2d_detector";
    case Kind::prediction: return "d2d_prediction";
    case Kind::polygons: return "d2d_polygons";
    case Kind::model: return "d2d_model";
    case Kind::session: return "d2d_session";
  }
  return nullptr;
}

void check_handle(const void* handle, Kind wanted) {
  check(handle != nullptr, "the ", name(wanted), " is NULL");
  Kind kind = Kind::freed;
  if (reinterpret_cast<std::uintptr_t>(handle) % alignof(Handle) == 0) std::memcpy(&kind, handle, sizeof kind);
  if (kind == wanted) return;
  if (const char* other = name(kind)) fail<InvalidArgument>("the handle is a ", other, ", wanted a ", name(wanted));
  fail<InvalidArgument>("the pointer is not to a handle, or to one that was freed; wanted a ", name(wanted));
}

Names names_of(const std::vector<std::string>& list) {
  Names names;
  for (const std::string& name : list) names.push_back(name.c_str());
  return names;
}

void give(const Names& from, const char* const** names, std::int64_t* count) {
  const char* const*& to = required(names, "names");
  required(count, "count") = static_cast<std::int64_t>(from.size());
  to = from.empty() ? nullptr : from.data();
}

}  // namespace d2deploy::capi
