"""Fine-tuning: a trained network gets a new last layer for the data, and is trained further.

May use every room below ``training``, which calls it.
"""
