// std::sort, std::partial_sort and std::nth_element for kernels, by one thread: where keys are equal their order is
// that of the host's standard library, which Caffe2's answers have. Those functions themselves may be compiled for a
// GPU, but order equal keys in another way there.
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
    partition_all(count, depth_of(count));
    insert_all(count);
  }

  SIMT_HOST_DEVICE void partial_sort(int middle, int count) {
    if (middle < 1) return;
    select_by_heap(0, middle, count);
    sort_heap(0, middle);
  }

  SIMT_HOST_DEVICE void nth_element(int nth, int count) {
    if (nth >= count) return;
    int first = 0, last = count, depth = depth_of(count);
    while (last - first > 3) {
      if (depth-- == 0) {
        select_by_heap(first, nth + 1 - first, last - first);
        swap(first, nth);
        return;
      }
      const int cut = partition(first, last);
      if (cut <= nth)
        first = cut;
      else
        last = cut;
    }
    for (int i = first + 1; i < last; ++i) insert(first, i, less(i, first));
  }

 private:
  static constexpr int kSmall = 16;  // parts of so many are left to the insertion at the end
  struct Part {
    int first, last, depth;
  };

  /// How often keys are parted before a heap does it.
  SIMT_HOST_DEVICE static int depth_of(int count) {
    int depth = 0;
    for (int n = count; n > 1; n /= 2) depth += 2;
    return depth;
  }

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

  // Among the first ones what is less than all goes to the front at once; behind them there is always one in front that
  // is not greater.
  SIMT_HOST_DEVICE void insert_all(int count) {
    for (int i = 1; i < count; ++i) insert(0, i, i < kSmall && less(i, 0));
  }

  // Key i, among those from `first` on.
  SIMT_HOST_DEVICE void insert(int first, int i, bool to_front) {
    const T key = keys_[i];
    int hole = i;
    while (to_front ? hole > first : less_(key, keys_[hole - 1])) {
      keys_[hole] = keys_[hole - 1];
      --hole;
    }
    keys_[hole] = key;
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

  SIMT_HOST_DEVICE void make_heap(int first, int count) {
    T* heap = keys_ + first;
    for (int parent = (count - 2) / 2; count > 1 && parent >= 0; --parent) sink(heap, parent, count, heap[parent]);
  }
  SIMT_HOST_DEVICE void sort_heap(int first, int count) {
    T* heap = keys_ + first;
    for (int last = count - 1; last > 0; --last) {
      const T key = heap[last];
      heap[last] = heap[0];
      sink(heap, 0, last, key);
    }
  }
  SIMT_HOST_DEVICE void heap_sort(int first, int count) {
    make_heap(first, count);
    sort_heap(first, count);
  }

  // Makes the first `wanted` keys a heap of the least ones.
  SIMT_HOST_DEVICE void select_by_heap(int first, int wanted, int count) {
    make_heap(first, wanted);
    T* heap = keys_ + first;
    for (int i = wanted; i < count; ++i) {
      const T key = heap[i];
      if (!less_(key, heap[0])) continue;
      heap[i] = heap[0];
      sink(heap, 0, wanted, key);
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

/// As std::partial_sort(keys, keys + middle, keys + count, less) does.
template <class T, class Less>
SIMT_HOST_DEVICE void partial_sort_as_host(T* keys, int middle, int count, Less less) {
  Introsort<T, Less>(keys, less).partial_sort(middle, count);
}

/// As std::nth_element(keys, keys + nth, keys + count, less) does.
template <class T, class Less>
SIMT_HOST_DEVICE void nth_element_as_host(T* keys, int nth, int count, Less less) {
  Introsort<T, Less>(keys, less).nth_element(nth, count);
}

}  // namespace d2deploy::simt
