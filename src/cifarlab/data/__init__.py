"""From bytes to a ``Dataset``: sources, download, cache, formats, pictures, folders.

May use files and errors.
"""
