// std::sort for kernels, by one thread: where keys are equal its order is that of the host's standard library, which
// Caffe2's answers have. std::sort itself may be compiled for a GPU, but orders equal keys in another way there.
#pragma once
#include <cstddef>

#include "kernels/simt/host_device.h"

namespace d2deploy::simt {

template <class T, class Less>
class Introsort {
 public:
  SIMT_HOST_DEVICE Introsort(T* keys, Less less) : keys_(keys), less_(less) {}

  SIMT_HOST_DEVICE void sort(int count) {
    if (count < 2) return;
    int depth = 0;
    for (int n = count; n > 1; n /= 2) depth += 2;
    partition_all(count, depth);
    insert_all(count);
  }

 private:
  static constexpr int kSmall = 16;  // parts of so many are left to the insertion at the end
  struct Part {
    int first, last, depth;
  };

  SIMT_HOST_DEVICE void swap(int i, int j) {
    const T key = keys_[i];
    keys_[i] = keys_[j];
    keys_[j] = key;
  }
  SIMT_HOST_DEVICE bool less(int i, int j) const { return less_(keys_[i], keys_[j]); }

  // Parts are independent, so in which order they are taken does not matter.
  SIMT_HOST_DEVICE void partition_all(int count, int depth) {
    Part stack[2 * 8 * sizeof(int)];  // one for each of at most 62 levels
    int waiting = 0;
    stack[waiting++] = {0, count, depth};
    while (waiting > 0) {
      Part part = stack[--waiting];
      while (part.last - part.first > kSmall) {
        if (part.depth-- == 0) {
          heap_sort(part.first, part.last - part.first);
          break;
        }
        const int cut = partition(part.first, part.last);
        stack[waiting++] = {cut, part.last, part.depth};
        part.last = cut;
      }
    }
  }

  // Around the median of three, which is put in front first.
  SIMT_HOST_DEVICE int partition(int first, int last) {
    const int a = first + 1, b = first + (last - first) / 2, c = last - 1;
    const bool ab = less(a, b), ac = less(a, c), bc = less(b, c);
    swap(first, ab ? (bc ? b : ac ? c : a) : (ac ? a : bc ? c : b));
    int low = first + 1, high = last;
    while (true) {
      while (less(low, first)) ++low;
      --high;
      while (less(first, high)) --high;
      if (low >= high) return low;
      swap(low++, high);
    }
  }

  SIMT_HOST_DEVICE void insert_all(int count) {
    for (int i = 1; i < count; ++i) {
      const T key = keys_[i];
      int hole = i;
      // Among the first ones what is less than all goes to the front at once; behind them there is always one in front
      // that is not greater.
      const bool to_front = i < kSmall && less_(key, keys_[0]);
      while (to_front ? hole > 0 : less_(key, keys_[hole - 1])) {
        keys_[hole] = keys_[hole - 1];
        --hole;
      }
      keys_[hole] = key;
    }
  }

  // Sinks the hole at `hole` to a leaf, then lets `key` rise from there.
  SIMT_HOST_DEVICE void sink(T* heap, int hole, int count, T key) {
    const int top = hole;
    int child = hole;
    while (child < (count - 1) / 2) {
      child = 2 * (child + 1);
      if (less_(heap[child], heap[child - 1])) --child;
      heap[hole] = heap[child];
      hole = child;
    }
    if (count % 2 == 0 && child == (count - 2) / 2) {
      child = 2 * (child + 1);
      heap[hole] = heap[child - 1];
      hole = child - 1;
    }
    for (int parent = (hole - 1) / 2; hole > top && less_(heap[parent], key); parent = (hole - 1) / 2) {
      heap[hole] = heap[parent];
      hole = parent;
    }
    heap[hole] = key;
  }

  SIMT_HOST_DEVICE void heap_sort(int first, int count) {
    T* heap = keys_ + first;
    for (int parent = (count - 2) / 2; parent >= 0; --parent) sink(heap, parent, count, heap[parent]);
    for (int last = count - 1; last > 0; --last) {
      const T key = heap[last];
      heap[last] = heap[0];
      sink(heap, 0, last, key);
    }
  }

  T* keys_;
  Less less_;
};

/// Sorts as std::sort(keys, keys + count, less) does on the host.
template <class T, class Less>
SIMT_HOST_DEVICE void sort_as_host(T* keys, int count, Less less) {
  Introsort<T, Less>(keys, less).sort(count);
}

}  // namespace d2deploy::simt
