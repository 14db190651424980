"""Datasets: names and paths to a ``Dataset``, by way of download, cache, formats and images.

May use files and errors.
"""
