"""A trained model as a REST service and a web page; nothing here calls other hosts.

May use classifier, exporting, reporting and what those use.
"""
