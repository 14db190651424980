"""Many runs at once: side by side, out of fold, at ever higher learning rates.

May use training and all that it uses.
"""
