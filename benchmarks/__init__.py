"""Measurements of cifarlab that anyone can repeat; see docs/benchmarks.md.

- ``python -m benchmarks.throughput``: training speed beside ``keras.Model.fit``.
- ``python -m benchmarks.scaling``: time and memory of an epoch as the data grows.
"""
