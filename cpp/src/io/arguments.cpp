#include "io/arguments.h"

#include <map>

#include "core/log.h"
#include "io/faults.h"

namespace d2deploy {

namespace {

template <class List>
auto to_vector(const List& list) {
  using Values = std::vector<typename List::value_type>;
  return Values(list.begin(), list.end());
}

Arg read_value(const proto::Argument& a) {
  check<Unsupported>(!a.has_n() && a.nets_size() == 0, "holds a net; nets inside of arguments are not supported");
  check<Unsupported>(!a.has_t() && a.tensors_size() == 0 && a.qtensors_size() == 0,
                     "holds a tensor; tensors inside of arguments are not supported");
  const bool kinds[] = {a.has_f(), a.has_i(), a.has_s(), a.floats_size() > 0, a.ints_size() > 0, a.strings_size() > 0};
  std::size_t present = 0;
  for (const bool kind : kinds) present += kind ? 1 : 0;
  check<InvalidModel>(present <= 1, "has values of ", present,
                      " kinds (among f, i, s, floats, ints, strings), wanted one");
  if (a.has_f()) return a.f();
  if (a.has_i()) return std::int64_t{a.i()};
  if (a.has_s()) return a.s();
  if (a.floats_size() > 0) return to_vector(a.floats());
  if (a.strings_size() > 0) return to_vector(a.strings());
  return Ints(a.ints().begin(), a.ints().end());
}

// The first argument of a name decides; what follows must be the same.
void check_repeated(const proto::Argument& first, const proto::Argument& again, const std::string& where,
                    const Log& log) {
  check<InvalidModel>(first.SerializeAsString() == again.SerializeAsString(),
                      "is there twice with different values; wanted one");
  if (log) d2deploy::log(log, LogLevel::warning, where, ": argument ", in_quotes(again.name()), " is there twice");
}

}  // namespace

Args read_arguments(const ArgumentList& list, const std::string& where, const Log& log) {
  Args args;
  std::map<std::string_view, const proto::Argument*> first;
  for (const proto::Argument& a : list) {
    check_name(a.name(), "an argument");
    with_context([&] { return "argument " + in_quotes(a.name()); },
                 [&] {
                   const auto [it, fresh] = first.emplace(a.name(), &a);
                   if (fresh)
                     args.emplace(a.name(), read_value(a));
                   else
                     check_repeated(*it->second, a, where, log);
                 });
  }
  return args;
}

void parse(google::protobuf::MessageLite& message, Bytes bytes) {
  // A message may be forty times as large in memory as in the file (a list of empty strings).
  constexpr std::size_t kMost = std::size_t{16} << 20;
  check<Unsupported>(bytes.size() <= kMost, "takes ", bytes.size(),
                     " bytes that are not a plain list of floats, at most ", kMost, " are read");
  check<InvalidModel>(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())),
                      "is damaged: its fields are not those of a Caffe2 net; copy the file again");
}

}  // namespace d2deploy
