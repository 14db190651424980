"""What a run computes on: device and precision, memory, randomness, and their record.

May use files and errors.
"""
