"""Datasets by name: where they are from, how they are fetched, and what they hold.

May use ``cache``, ``decoding`` and readers, not ``catalog``.
"""
