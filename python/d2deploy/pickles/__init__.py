"""Pickles of plain values and NumPy arrays, read without running what they say. Needs NumPy alone."""

from d2deploy.pickles.reader import read_pickle

__all__ = ["read_pickle"]
