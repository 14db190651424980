"""How images are decoded, a module per format or step; ``data.image`` is the public part.

May use errors, files and ``image_format``.
"""
