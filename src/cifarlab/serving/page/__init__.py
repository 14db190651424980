"""The web page: what a visitor sees, what it answers, and what it refuses.

May use the rest of serving, and what serving uses.
"""
