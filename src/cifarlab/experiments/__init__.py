"""Many runs: recipes compared, labels audited, learning rates searched.

May use training and all that it uses.
"""
