// The arguments of an operator: how a definition lists them, and how they get from a file into its Params.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "core/args.h"

namespace d2deploy {

/// All but `unlimited` keep integers within 32 bits.
enum class Bound { any, non_negative, positive, unlimited };

/// The C++ type of the member that an argument goes into.
enum class FieldType { boolean, integer, real, string, integers, reals, any };

template <class T>
inline constexpr FieldType kFieldType = [] {
  static_assert(sizeof(T) == 0, "no field has this C++ type");
  return FieldType::any;
}();
template <>
inline constexpr FieldType kFieldType<bool> = FieldType::boolean;
template <>
inline constexpr FieldType kFieldType<std::int64_t> = FieldType::integer;
template <>
inline constexpr FieldType kFieldType<float> = FieldType::real;
template <>
inline constexpr FieldType kFieldType<std::string> = FieldType::string;
template <>
inline constexpr FieldType kFieldType<Ints> = FieldType::integers;
template <>
inline constexpr FieldType kFieldType<Floats> = FieldType::reals;
template <>
inline constexpr FieldType kFieldType<Arg> = FieldType::any;  ///< the operator says what it takes

/// One argument. Types are erased here, once, so that parsing and printing are plain loops.
struct Field {
  const char* name;
  FieldType type;
  void* (*member)(void* params);  ///< the member's address in the struct that declares it
  Bound bound;
  const char* doc;
  void* (*base)(void* params) = nullptr;  ///< that struct's address in one derived from it
  bool internal = false;                  ///< set by passes: files must not have it
};

namespace detail {
template <class>
struct MemberPointer;
template <class S, class T>
struct MemberPointer<T S::*> {
  using Struct = S;
  using Type = T;
};
}  // namespace detail

template <auto kMember>
constexpr Field field(const char* name, Bound bound, const char* doc) {
  using Pointer = detail::MemberPointer<decltype(kMember)>;
  return {name, kFieldType<typename Pointer::Type>,
          [](void* params) -> void* { return &(static_cast<typename Pointer::Struct*>(params)->*kMember); }, bound,
          doc};
}

template <std::size_t N>
using Fields = std::array<Field, N>;

/// The same, for passes alone.
template <auto kMember>
constexpr Field internal_field(const char* name, const char* doc) {
  Field f = field<kMember>(name, Bound::any, doc);
  f.internal = true;
  return f;
}

/// The fields of Base for Params that derive from it.
template <class Params, class Base, std::size_t N>
constexpr Fields<N> inherited(Fields<N> fields) {
  for (Field& f : fields) f.base = [](void* p) -> void* { return static_cast<Base*>(static_cast<Params*>(p)); };
  return fields;
}

template <std::size_t N, std::size_t... Ns>
constexpr auto joined(const Fields<N>& first, const Fields<Ns>&... others) {
  Fields<(N + ... + Ns)> all{};
  std::size_t i = 0;
  const auto add = [&](const auto& fields) {
    for (const Field& f : fields) all[i++] = f;
  };
  add(first);
  (add(others), ...);
  return all;
}

/// Sets the field from an argument. Throws InvalidModel with what is wanted: "positive".
void assign(const Field& field, void* params, const Arg& arg);
/// The field's value in `params`.
Arg value_of(const Field& field, const void* params);

/// A field as documents show it.
struct FieldInfo : Field {
  std::string type_name, default_text;
};
FieldInfo describe(const Field& field, const void* defaults);

}  // namespace d2deploy
