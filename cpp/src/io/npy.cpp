#include "io/npy.h"

#include <bit>
#include <fstream>

#include "core/check.h"

namespace d2deploy {

namespace {

const char* descriptor(DType dtype) {
  switch (dtype) {
    case DType::float32: return "<f4";
    case DType::bfloat16: break;
    case DType::float16: return "<f2";
    case DType::int8: return "|i1";
    case DType::int32: return "<i4";
    case DType::int64: return "<i8";
    case DType::uint8: return "|u1";
    case DType::boolean: return "|b1";
  }
  fail<Unsupported>(dtype, " has no name in the .npy format");
}

}  // namespace

void write_npy(const std::filesystem::path& path, const Tensor& tensor) {
  static_assert(std::endian::native == std::endian::little);
  check<InternalError>(tensor.layout() == Layout::row_major, "write_npy takes row-major tensors only");
  std::string header =
      join("{'descr': '", descriptor(tensor.dtype()), "', 'fortran_order': False, 'shape': ", tensor.shape(), ", }");
  constexpr std::size_t kPreamble = 10,
                        kAlign = 64;  // magic, version, header length; the data starts at a multiple of 64
  header.resize((kPreamble + header.size() + 1 + kAlign - 1) / kAlign * kAlign - kPreamble, ' ');
  header.back() = '\n';
  std::ofstream out(path, std::ios::binary);
  const char length[] = {static_cast<char>(header.size() & 0xFF), static_cast<char>(header.size() >> 8)};
  out.write("\x93NUMPY\x01\x00", 8).write(length, 2);
  out << header;
  out.write(static_cast<const char*>(tensor.raw()), static_cast<std::streamsize>(tensor.bytes()));
  check(out.flush().good(), "cannot write ", path.string());
}

}  // namespace d2deploy
