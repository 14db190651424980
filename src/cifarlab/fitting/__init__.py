"""``keras.Model.fit``, ``evaluate`` and ``predict``, faster, with Keras's own results.

May use lowering, runtime, ``backend`` and errors.
"""
