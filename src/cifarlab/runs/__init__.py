"""The run directory: its files and its lock, what its record tells, and who else is told.

May use data, recipes, evaluation, files and errors, never Keras or PyTorch.
"""
