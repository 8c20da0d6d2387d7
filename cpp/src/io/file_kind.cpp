#include "io/file_kind.h"

#include <algorithm>
#include <array>

namespace d2deploy {

namespace {

using namespace std::string_view_literals;

struct Magic {
  std::string_view start, kind;
};

// None of these is the start of a NetDef, whose first byte is the tag of one of its fields: \n 0x12 0x1a ' ' * 2 : B J.
constexpr std::array kMagics{
    Magic{"\x89PNG\r\n\x1a\n"sv, "a PNG image"},
    Magic{"\xff\xd8\xff"sv, "a JPEG image"},
    Magic{"GIF8"sv, "a GIF image"},
    Magic{"\x1f\x8b"sv, "a gzip archive; unpack it first"},
    Magic{"\x89HDF\r\n\x1a\n"sv, "an HDF5 file"},
    Magic{"PK\x03\x04"sv,
          "a zip archive, perhaps a PyTorch checkpoint (.pth) or a TorchScript module; export the model "
          "to Caffe2 and give its model.pb and model_init.pb"},
    Magic{"\x80\x02"sv,
          "a Python pickle, perhaps a checkpoint (.pkl, .pth); export the model to Caffe2 and give its "
          "model.pb and model_init.pb"},
    Magic{"\x80\x03"sv, "a Python pickle"},
    Magic{"\x80\x04"sv,
          "a Python pickle, perhaps a checkpoint (.pkl); export the model to Caffe2 and give its model.pb "
          "and model_init.pb"},
    Magic{"\x80\x05"sv, "a Python pickle"},
    Magic{"\x08"sv, "an ONNX model; export the model to Caffe2 and give its model.pb and model_init.pb"},
    Magic{"\x93NUMPY"sv, "a NumPy array"},
    Magic{"version https://git-lfs"sv, "a Git LFS pointer, not the file itself; fetch it with: git lfs pull"},
};

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool is_text(std::string_view start) {
  return std::ranges::all_of(start, [](char c) { return is_space(c) || (c >= ' ' && c <= '~'); });
}

std::string_view text_kind(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  if (text.starts_with('<')) return "an HTML or XML page; was a web page saved instead of the file?";
  for (const auto field : {"name:"sv, "op {"sv, "op:"sv, "external_input:"sv, "type:"sv})
    if (text.starts_with(field)) return "a net in text form (.pbtxt); give the binary file (.pb) beside it";
  return "a text file";
}

}  // namespace

std::string_view foreign_kind(Bytes bytes) {
  constexpr std::size_t kLooked = 256;
  const std::string_view start = as_text(bytes.first(std::min(bytes.size(), kLooked)));
  for (const auto& magic : kMagics)
    if (start.starts_with(magic.start)) return magic.kind;
  // Eight bytes of length, then a JSON object.
  if (start.size() > 10 && start[8] == '{' && start[9] == '"' && start.substr(4, 4) == "\0\0\0\0"sv)
    return "a safetensors file; export the model to Caffe2 and give its model.pb and model_init.pb";
  constexpr std::size_t kShortest = 4;  // less says nothing
  if (start.size() >= kShortest && is_text(start)) return text_kind(start);
  return {};
}

}  // namespace d2deploy
