"""The compiler: Keras models as native PyTorch modules, for training and prediction.

May use runtime, recipes, ``backend`` and errors.
"""
