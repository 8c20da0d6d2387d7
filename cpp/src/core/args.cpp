#include "core/args.h"

#include <charconv>

#include "core/check.h"
#include "core/text.h"

namespace d2deploy {

namespace {

bool is_number(std::string_view text) {
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::string quoted(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_of(" \t\",[]{}()=:") == std::string::npos && !is_number(text);
  return plain ? text : '"' + text + '"';
}

bool is_float_text(std::string_view text) { return text.find_first_of(".eni") != std::string_view::npos; }

template <class T>
std::string one(const T& value) {
  if constexpr (std::is_same_v<T, std::string>)
    return quoted(value);
  else if constexpr (std::is_same_v<T, float>)
    return d2deploy::to_text(value);
  else
    return std::to_string(value);
}

template <class T>
std::string many(const std::vector<T>& values) {
  std::string text = "[";
  for (const auto& v : values) text += (text.size() == 1 ? "" : ",") + one(v);
  return text + "]";
}

std::string unquoted(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return std::string(text);
}

Arg parse_list(std::string_view text) {
  const auto parts = split(text, ',');
  bool numbers = true, floats = false;
  for (const auto p : parts) {
    numbers = numbers && is_number(p);
    floats = floats || is_float_text(p);
  }
  if (!numbers) {
    Strings strings;
    for (const auto p : parts) strings.push_back(unquoted(p));
    return strings;
  }
  if (floats) {
    Floats values;
    for (const auto p : parts) values.push_back(parse_float(p));
    return values;
  }
  Ints values;
  for (const auto p : parts) values.push_back(parse_int(p));
  return values;
}

}  // namespace

std::string to_text(const Arg& arg) {
  return std::visit(
      []<class T>(const T& value) -> std::string {
        if constexpr (std::is_same_v<T, Ints> || std::is_same_v<T, Floats> || std::is_same_v<T, Strings>)
          return many(value);
        else
          return one(value);
      },
      arg);
}

Arg parse_arg(std::string_view text) {
  text = strip(text);
  check(!text.empty(), "an argument has no value");
  if (text.front() == '[') {
    check(text.back() == ']', "'", text, "' lacks its closing bracket");
    return parse_list(text.substr(1, text.size() - 2));
  }
  if (text.front() == '"' || !is_number(text)) return unquoted(text);
  if (is_float_text(text)) return parse_float(text);
  return parse_int(text);
}

std::string to_text(const Args& args) {
  if (args.empty()) return {};
  std::string text = "{";
  for (const auto& [key, value] : args) text += (text.size() == 1 ? "" : " ") + key + '=' + to_text(value);
  return text + "}";
}

Args parse_args(std::string_view text) {
  Args args;
  for (const auto word : split(text, ' ')) {
    const auto mark = word.find('=');
    check(mark != std::string_view::npos && mark > 0, "'", word, "' is not name=value");
    const std::string key(word.substr(0, mark));
    check(args.emplace(key, parse_arg(word.substr(mark + 1))).second, "argument '", key, "' is given twice");
  }
  return args;
}

}  // namespace d2deploy
