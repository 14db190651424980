"""From a recipe or a model and its data to a finished run: setup, loop, results.

May use every room below it: runs, plots, classifier, saving, lowering, data, recipes, runtime.
"""
