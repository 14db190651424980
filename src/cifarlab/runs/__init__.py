"""The run directory: its files and lock, its recipe and data, and experiment trackers.

May use data, recipes, evaluation, files and errors, never Keras or PyTorch.
"""
