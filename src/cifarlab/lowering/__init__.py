"""The compiler: a Keras model as native PyTorch layers, and how it predicts.

May use runtime, recipes, ``backend`` and errors.
"""
