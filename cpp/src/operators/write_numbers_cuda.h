// Whole numbers that the host knows, such as dimensions, written to an output on a GPU.
#pragma once
#include "core/element_type.h"
#include "operators/device_call.h"

namespace d2deploy {

/// Numbers as a parameter of a kernel.
struct NumberTable {
  static constexpr int kMost = 256;
  int count = 0;
  const std::int32_t* rows = nullptr;  // where not null: what kUnknown stands for
  std::int64_t values[kMost];
};

template <class T>
SIMT_KERNEL write_number_table(NumberTable table, T* y) {
  for (std::int64_t i = simt::first_item(); i < table.count; i += simt::item_step()) {
    const std::int64_t value = table.values[i];
    y[i] = static_cast<T>(value == kUnknown && table.rows != nullptr ? *table.rows : value);
  }
}

/// Writes numbers to memory of a GPU, as many at once as a table holds.
template <class T>
class NumberWriter {
 public:
  NumberWriter(const char* name, simt::Stream stream, T* y, const std::int32_t* rows = nullptr)
      : name_(name), stream_(stream), y_(y) {
    table_.rows = rows;
  }
  void add(std::int64_t value) {
    if (table_.count == NumberTable::kMost) run();
    table_.values[table_.count++] = value;
  }
  void run() {
    if (table_.count > 0) simt::launch(name_, write_number_table<T>, {1, NumberTable::kMost, 0, stream_}, table_, y_);
    y_ += table_.count;
    table_.count = 0;
  }

 private:
  const char* name_;
  simt::Stream stream_;
  T* y_;
  NumberTable table_;
};

/// `count` dimensions of input 0, dimension_at(0) and so on; a row slot says how many rows it has.
template <class T, class F>
void write_shape(const char* name, const Call& call, std::size_t output, std::size_t count, const F& dimension_at) {
  const Shape& x = call.input(0).shape();
  const std::int32_t* rows = x.rank() > 0 ? rows_of_input(call, 0).slot : nullptr;
  NumberWriter<T> numbers(name, stream_of(call), device_out<T>(call, output), rows);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t d = dimension_at(i);
    numbers.add(d == 0 && rows != nullptr ? kUnknown : x[d]);
  }
  numbers.run();
}

}  // namespace d2deploy
