"""Measurements of cifarlab that anyone can repeat; see docs/benchmarks.md.

- ``python -m benchmarks.throughput``: training speed beside ``keras.Model.fit``.
- ``python -m benchmarks.time_to_accuracy``: how long a recipe takes, and how good it is.
- ``python -m benchmarks.records``: our recipes beside the published records' own code.
- ``python -m benchmarks.inference``: prediction beside Keras ``predict`` and onnxruntime.
- ``python -m benchmarks.ceiling``: how close a training step comes to its kernels.
- ``python -m benchmarks.scaling``: time and memory of an epoch as the data grows.
- ``python -m benchmarks.serving``: what the server bears.
"""
