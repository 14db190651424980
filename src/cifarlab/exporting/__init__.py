"""Trained models in formats that others run, each compared with the classifier when written.

May use classifier, lowering, saving, runs and data, not training.
"""

from cifarlab.exporting.exporter import FORMATS, Exported, export

__all__ = ["FORMATS", "Exported", "export"]
