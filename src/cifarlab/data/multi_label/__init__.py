"""Images with several labels each: what their cells hold, how they are found and loaded.

May use all of data; ``cells``, ``refusal``, ``copies`` and ``dataset``, which the readers and
``dividing`` use, only errors, files, splits and ``readers.labelling``.
"""
