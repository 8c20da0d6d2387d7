// What only moves elements in the memory of a GPU: copies of chunks, transposes, changes of a real type.
#pragma once
#include <cstddef>

#include "core/element_type.h"
#include "kernels/simt/element.h"
#include "kernels/simt/index.h"

namespace d2deploy::simt {

constexpr unsigned kMoveThreads = 256;

// ---- Copies ------------------------------------------------------------------------------------------------------

/// `count` chunks that begin x_step bytes apart in x, and y_step in y.
struct ChunkCopy {
  const std::byte* x;
  std::byte* y;
  std::int64_t x_step, y_step, chunk_bytes, count;

  std::int64_t bytes() const { return chunk_bytes * count; }
};

/// Some of them: a table that is a parameter of a kernel.
struct ChunkCopies {
  static constexpr int kMost = 32;
  int count = 0;
  ChunkCopy copies[kMost];
};

struct alignas(16) Unit16 {
  std::uint32_t words[4];
};

// Row y of the grid makes copy y.
template <class Unit>
SIMT_KERNEL copy_in_units(ChunkCopies table) {
  const ChunkCopy& c = table.copies[blockIdx.y];
  constexpr std::int64_t kSize = sizeof(Unit);
  const auto* x = reinterpret_cast<const Unit*>(c.x);
  auto* y = reinterpret_cast<Unit*>(c.y);
  const std::int64_t chunk = c.chunk_bytes / kSize, x_step = c.x_step / kSize, y_step = c.y_step / kSize;
  for (std::int64_t i = first_item(); i < chunk * c.count; i += item_step()) {
    const std::int64_t which = quotient(i, chunk), at = i - which * chunk;
    y[which * y_step + at] = x[which * x_step + at];
  }
}

/// Calls f with a unit of memory whose size divides all of `sizes`, addresses or numbers of bytes put together by |.
template <class F>
void with_unit(std::uintptr_t sizes, const F& f) {
  if (sizes % 16 == 0) return f(Unit16());
  if (sizes % 8 == 0) return f(std::uint64_t());
  if (sizes % 4 == 0) return f(std::uint32_t());
  if (sizes % 2 == 0) return f(std::uint16_t());
  f(std::uint8_t());
}
inline std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

/// Makes copies, as many at once as a table holds.
class CopyList {
 public:
  CopyList(const char* name, Stream stream) : name_(name), stream_(stream) {}
  void add(ChunkCopy copy) {
    if (copy.bytes() == 0) return;
    if (copy.x_step == copy.chunk_bytes && copy.y_step == copy.chunk_bytes) {  // all of it is one
      copy.chunk_bytes *= copy.count;
      copy.count = 1;
    }
    if (copy.count == 1) copy.x_step = copy.y_step = 0;
    if (table_.count == ChunkCopies::kMost) run();
    table_.copies[table_.count++] = copy;
  }
  void run() {
    std::uintptr_t sizes = 0;
    std::int64_t most = 0;
    for (int i = 0; i < table_.count; ++i) {
      const ChunkCopy& c = table_.copies[i];
      sizes |= address(c.x) | address(c.y) | static_cast<std::uintptr_t>(c.x_step | c.y_step | c.chunk_bytes);
      most = std::max(most, c.bytes());
    }
    if (table_.count > 0)
      with_unit(sizes, [&]<class Unit>(Unit) {
        const unsigned blocks = blocks_for(most / static_cast<std::int64_t>(sizeof(Unit)), kMoveThreads);
        const Grid grid{{blocks, static_cast<unsigned>(table_.count)}, kMoveThreads, 0, stream_};
        launch(name_, copy_in_units<Unit>, grid, table_);
      });
    table_.count = 0;
  }

 private:
  const char* name_;
  Stream stream_;
  ChunkCopies table_;
};

// ---- Real numbers of another type --------------------------------------------------------------------------------

template <class To, class From>
SIMT_DEVICE To converted(From x) {
  if constexpr (std::is_same_v<To, From>)
    return x;
  else
    return from_float<To>(to_float(x));
}

/// n elements that a thread moves together.
template <class T, int n>
struct alignas(sizeof(T) * n < 16 ? sizeof(T) * n : 16) Pack {
  T values[n];
};
constexpr int kPack = 8;

template <class From, class To>
SIMT_KERNEL convert_elements(const From* x, To* y, std::int64_t count, bool aligned) {
  const std::int64_t packs = aligned ? count / kPack : 0;
  for (std::int64_t i = first_item(); i < packs; i += item_step()) {
    const auto from = reinterpret_cast<const Pack<From, kPack>*>(x)[i];
    Pack<To, kPack> to;
    for (int k = 0; k < kPack; ++k) to.values[k] = converted<To>(from.values[k]);
    reinterpret_cast<Pack<To, kPack>*>(y)[i] = to;
  }
  for (std::int64_t i = packs * kPack + first_item(); i < count; i += item_step()) y[i] = converted<To>(x[i]);
}

template <class From, class To>
void launch_convert(const char* name, const From* x, To* y, std::int64_t count, Stream stream) {
  if (count == 0) return;
  const bool aligned = (address(x) | address(y)) % 16 == 0;
  launch(name, convert_elements<From, To>, {blocks_for(count / kPack, kMoveThreads), kMoveThreads, 0, stream}, x, y,
         count, aligned);
}

// ---- Transposes --------------------------------------------------------------------------------------------------

/// `count` matrices of so many rows and columns.
struct Matrices {
  std::int64_t count, rows, columns;
};

// Elements as shared memory may hold them: types without constructors.
template <class T>
SIMT_DEVICE auto to_stored(T x) {
  if constexpr (kReal<T> && sizeof(T) == 2)
    return x.bits;
  else
    return x;
}
template <class T, class Stored>
SIMT_DEVICE T from_stored(Stored x) {
  if constexpr (kReal<T> && sizeof(T) == 2) {
    T y;
    y.bits = x;
    return y;
  } else {
    return x;
  }
}

constexpr int kTransposeTile = 32;

// A block takes one tile after the other; both x and y are touched by rows.
template <class From, class To>
SIMT_KERNEL transpose_tiles(const From* x, To* y, Matrices m) {
  constexpr int kTile = kTransposeTile, kStep = kMoveThreads / kTile;
  using Stored = decltype(to_stored(To()));
  SIMT_SHARED(Stored, tile, kTile * (kTile + 1));  // one column more: the columns lie in different banks
  const std::int64_t down = (m.rows + kTile - 1) / kTile, across = (m.columns + kTile - 1) / kTile;
  const int fast = static_cast<int>(threadIdx.x) % kTile, slow = static_cast<int>(threadIdx.x) / kTile;
  for (std::int64_t t = blockIdx.x; t < m.count * down * across; t += gridDim.x) {
    const std::int64_t strip = quotient(t, across), which = quotient(strip, down);
    const std::int64_t row = (strip - which * down) * kTile, column = (t - strip * across) * kTile;
    const std::int64_t matrix = which * m.rows * m.columns;
    for (int r = slow; r < kTile; r += kStep)
      if (row + r < m.rows && column + fast < m.columns)
        tile[r * (kTile + 1) + fast] = to_stored(converted<To>(x[matrix + (row + r) * m.columns + column + fast]));
    __syncthreads();
    for (int c = slow; c < kTile; c += kStep)
      if (row + fast < m.rows && column + c < m.columns)
        y[matrix + (column + c) * m.rows + row + fast] = from_stored<To>(tile[fast * (kTile + 1) + c]);
    __syncthreads();
  }
}

// Few rows, as the channels of a picture, or few columns: a tile would be almost empty.
template <class From, class To>
SIMT_KERNEL transpose_few_rows(const From* x, To* y, Matrices m) {
  for (std::int64_t i = first_item(); i < m.count * m.columns; i += item_step()) {
    const std::int64_t which = quotient(i, m.columns);
    const From* from = x + which * m.rows * m.columns + i - which * m.columns;
    for (std::int64_t r = 0; r < m.rows; ++r) y[i * m.rows + r] = converted<To>(from[r * m.columns]);
  }
}
template <class From, class To>
SIMT_KERNEL transpose_few_columns(const From* x, To* y, Matrices m) {
  for (std::int64_t i = first_item(); i < m.count * m.rows; i += item_step()) {
    const std::int64_t which = quotient(i, m.rows);
    To* to = y + which * m.rows * m.columns + i - which * m.rows;
    for (std::int64_t c = 0; c < m.columns; ++c) to[c * m.rows] = converted<To>(x[i * m.columns + c]);
  }
}

/// Each matrix of y is the transpose of that of x, in the type of y.
template <class From, class To>
void launch_transpose(const char* name, const From* x, To* y, const Matrices& m, Stream stream) {
  constexpr std::int64_t kFew = 8;
  if (m.count * m.rows * m.columns == 0) return;
  if (m.rows == 1 || m.columns == 1) return launch_convert(name, x, y, m.count * m.rows * m.columns, stream);
  const auto go = [&](auto kernel, std::int64_t blocks) {
    launch(name, kernel, {static_cast<unsigned>(blocks), kMoveThreads, 0, stream}, x, y, m);
  };
  if (m.rows <= kFew) return go(transpose_few_rows<From, To>, blocks_for(m.count * m.columns, kMoveThreads));
  if (m.columns <= kFew) return go(transpose_few_columns<From, To>, blocks_for(m.count * m.rows, kMoveThreads));
  const auto tiles = [](std::int64_t n) { return (n + kTransposeTile - 1) / kTransposeTile; };
  go(transpose_tiles<From, To>, blocks_for(m.count * tiles(m.rows) * tiles(m.columns), 1));
}

}  // namespace d2deploy::simt
