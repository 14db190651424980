"""From bytes to a ``Dataset``: sources, download, cache, formats, images, folders.

May use files and errors.
"""
