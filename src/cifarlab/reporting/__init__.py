"""From results to one self-contained HTML page.

May use classifier, evaluation, plots, runs and training, not exporting.
"""
