"""Model files: written so that plain Keras reads them, read so that they can do no harm.

May use recipes, models, ``backend``, files and errors.
"""
