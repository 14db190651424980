"""Readers: what a path holds, understood before anything is decoded; one module per format.

A reader is a function ``find(path, options)`` that returns a ``Found``, or a ``Rejected`` with
the reason. ``catalog.READERS`` lists them. May use what ``data`` has outside of this folder,
except ``catalog``.

- ``folder`` and ``archives`` (``zip_files``, ``tar_files``, ``name_tree``): image files, listed
  once as a ``tree`` in a ``Place``. ``labelled_files`` asks what tells their classes: ``layouts``
  (folders), ``tables`` (``label_table``, ``table_columns``, ``table_files``, ``image_index``),
  ``label_files`` or ``file_names``. Each answers with a ``Labelling``; to add a way, add a
  function there. ``class_name_files`` finds words for classes that are numbers.
- ``companions`` leaves out masks and copies first; ``layouts`` reads the tree with ``entering``
  (which folder holds the data), ``split_folders`` and ``class_folders``; ``split_lists``
  (``split_list_files``) divides what was understood as lists beside the images say.
- ``parquet`` (``parquet_files``, ``parquet_columns``, ``arrow_files``) and ``pixel_tables``
  (``pixel_columns``): images in the cells of tables.
- ``unsupported``, ``unread`` and ``annotations``: what is known and not read, and what to do.

``split_names``, ``split_columns`` and ``label_values`` say what names and columns of splits and
values of labels mean to all, ``file_kind`` what a file is by its content.
"""
