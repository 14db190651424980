"""From results to one self-contained HTML page.

May use classifier, evaluation, plots, runs and training, not exporting.
"""

from cifarlab.reporting.images import data_uri, image_uri

__all__ = ["data_uri", "image_uri"]
