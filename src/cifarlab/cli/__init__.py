"""One module a verb: names things and prints things; ``main`` turns errors into exit codes.

May use everything; nothing imports it but ``__main__``.
"""
