"""The device and precision that a run computes in, memory, randomness, and a record of them.

May use files and errors.
"""
