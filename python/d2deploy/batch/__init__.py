"""Predictions for very many pictures, by one machine or many: blocks of pictures in, a Parquet file per block out.

What was finished stays finished, however a process ends: `docs/batch.md` tells how. Needs the packages of
d2deploy[batch]; `entries`, `tars` and `costs` the standard library alone.
"""
