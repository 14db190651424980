"""Trained models in formats that others run, each compared with the classifier when written."""

from cifarlab.exporting.exporter import FORMATS, Exported, export

__all__ = ["FORMATS", "Exported", "export"]
