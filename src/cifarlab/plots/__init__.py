"""Figures of results, drawn with matplotlib in one style.

May use predictions, evaluation, files and errors, never Keras or PyTorch.
"""

from cifarlab.plots.comparison import comparison
from cifarlab.plots.confusion import confusion_matrix
from cifarlab.plots.curves import curves
from cifarlab.plots.samples import samples
from cifarlab.plots.style import BLUE, GREY, ORANGE, finished, new_figure, save

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "comparison",
    "confusion_matrix",
    "curves",
    "finished",
    "new_figure",
    "samples",
    "save",
]
