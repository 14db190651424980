"""Images with several labels each: what their cells hold, how they are found and loaded.

``cells``, ``refusal``, ``copies`` and ``dataset`` may use errors, files and what readers share; the
others may use all of data.
"""
