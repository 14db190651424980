"""Trained models in formats that others run, each compared with the classifier when written.

May use classifier, lowering, saving, runs and data, not training.
"""

from cifarlab.exporting.about import about
from cifarlab.exporting.exporter import FORMATS, Exported, check_packages, export
from cifarlab.exporting.files import INPUT, OUTPUT

__all__ = ["FORMATS", "INPUT", "OUTPUT", "Exported", "about", "check_packages", "export"]
