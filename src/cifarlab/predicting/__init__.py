"""From any number of image files to a table of predictions, or to copies sorted by class.

May use classifier, predictions, data, runtime, files and errors.
"""
