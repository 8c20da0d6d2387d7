"""Order of equal scores: what std::sort and std::partial_sort of libstdc++ make of a list of indices.

Caffe2 sorts candidates with these unstable functions, so that files in use depend on where they leave equal scores.
The steps are written out here because which of two equal elements comes first follows from every swap.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arguments import Array

Before = Callable[[int, int], bool]
_SMALL = 16  # ranges up to this length are left to the insertion sort


def descending(scores: Array, top: int = 0, places: Array | None = None) -> list[int]:
    """Indices of `scores` from the highest score down; only the first `top` where 0 < top < count.

    The full order is that of std::sort, a limited one that of std::partial_sort, both started from 0, 1, 2, ...
    With `places`, equal scores come by ascending place instead.
    """
    count = len(scores)
    if places is not None:
        order = [int(i) for i in np.lexsort((places, -scores.astype(np.float64)))]
        return order[:top] if 0 < top < count else order
    limited = 0 < top < count
    if len(np.unique(scores)) == count:
        order = [int(i) for i in np.argsort(-scores.astype(np.float64))]
        return order[:top] if limited else order
    items = list(range(count))

    def before(a: int, b: int) -> bool:
        return bool(scores[a] > scores[b])

    if limited:
        _partial_sort(items, 0, top, count, before)
        return items[:top]
    _sort(items, before)
    return items


def _sort(items: list[int], before: Before) -> None:
    """Quicksort down to short ranges, heap sort where it degenerates, then one insertion sort over everything."""
    count = len(items)
    _quicksort(items, 0, count, 2 * max(count.bit_length() - 1, 0), before)
    for i in range(1, count):
        value = items[i]
        if i < _SMALL and before(value, items[0]):
            items[0 : i + 1] = [value, *items[0:i]]
            continue
        hole = i
        while before(value, items[hole - 1]):
            items[hole] = items[hole - 1]
            hole -= 1
        items[hole] = value


def _quicksort(items: list[int], first: int, last: int, depth: int, before: Before) -> None:
    while last - first > _SMALL:
        if depth == 0:
            _partial_sort(items, first, last, last, before)
            return
        depth -= 1
        _median_to_front(items, first, first + (last - first) // 2, last - 1, before)
        cut = _partition(items, first, last, before)
        _quicksort(items, cut, last, depth, before)
        last = cut


def _median_to_front(items: list[int], first: int, middle: int, back: int, before: Before) -> None:
    """Swaps the median of the second, the middle and the last element to the front, where it is the pivot."""
    a, b, c = first + 1, middle, back
    if before(items[a], items[b]):
        chosen = b if before(items[b], items[c]) else c if before(items[a], items[c]) else a
    else:
        chosen = a if before(items[a], items[c]) else c if before(items[b], items[c]) else b
    items[first], items[chosen] = items[chosen], items[first]


def _partition(items: list[int], first: int, last: int, before: Before) -> int:
    pivot = items[first]
    low, high = first + 1, last
    while True:
        while before(items[low], pivot):
            low += 1
        high -= 1
        while before(pivot, items[high]):
            high -= 1
        if low >= high:
            return low
        items[low], items[high] = items[high], items[low]
        low += 1


def _partial_sort(items: list[int], first: int, middle: int, last: int, before: Before) -> None:
    """Keeps the best in a heap of middle - first elements whose root is the worst of them, then sorts the heap."""
    length = middle - first
    for parent in range((length - 2) // 2, -1, -1):
        _sift(items, first, parent, length, items[first + parent], before)
    for i in range(middle, last):
        if before(items[i], items[first]):
            value, items[i] = items[i], items[first]
            _sift(items, first, 0, length, value, before)
    for end in range(middle - 1, first, -1):
        value, items[end] = items[end], items[first]
        _sift(items, first, 0, end - first, value, before)


def _sift(items: list[int], first: int, hole: int, length: int, value: int, before: Before) -> None:
    """Moves the hole down to a leaf along the worse children, then lets `value` rise from there."""
    top = hole
    while (child := 2 * hole + 2) <= length:
        if child == length or before(items[first + child], items[first + child - 1]):
            child -= 1
        items[first + hole] = items[first + child]
        hole = child
    while hole > top and before(items[first + (hole - 1) // 2], value):
        items[first + hole] = items[first + (hole - 1) // 2]
        hole = (hole - 1) // 2
    items[first + hole] = value
