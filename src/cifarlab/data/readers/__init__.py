"""Readers: what a path holds, understood before anything is decoded; one module per format.

A reader is a function ``find(path, options)`` that returns a ``Found``, or a ``Rejected`` with
the reason. ``catalog.READERS`` lists them. May use what ``data`` has outside of this folder,
except ``catalog``.
"""
