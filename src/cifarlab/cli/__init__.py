"""One module per command: names go in, results are printed; ``main`` turns errors into exit codes.

May use everything; nothing imports it but ``__main__``.
"""
