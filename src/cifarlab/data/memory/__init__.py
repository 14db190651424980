"""Datasets out of what is in memory: arrays, tensors, loaders, iterables of any library.

May use ``split``, ``load_options`` and the rules of readers for names of splits and classes.
"""
