"""Everything that needs a GPU, in one command: ``make gpu``; ``make gpu-dry`` runs it on a CPU.

``suite.py`` runs the parts, each in a process of its own, and writes one JSON file; ``table.py``
makes the documentation's tables from it; ``pack.py`` collects what a bare GPU machine lacks.
"""
