"""The errors that cifarlab raises on purpose, each with its exit code, and its warnings.

A message is one line that names the value, the rule that it breaks and the
remedy. The command line prints it as it is and exits with ``exit_code``.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).parent) + os.sep


class CifarlabError(Exception):
    """Base of every error that a user can do something about.

    Example:
        >>> import cifarlab
        >>> try:
        ...     cifarlab.load_dataset("no/such/folder")
        ... except cifarlab.CifarlabError as error:
        ...     print(error.exit_code)
        2
    """

    exit_code = 1


class UsageError(CifarlabError):
    """The call itself is wrong: an unknown name, options that do not go together."""

    exit_code = 2


class NoFastFormError(UsageError):
    """Only Keras can run this model or call, and a fast form was asked for."""


class ResultsDifferError(CifarlabError):
    """The fast form of a model and Keras's own came to different results."""


class InputError(CifarlabError):
    """The data, image or file given cannot be used."""

    exit_code = 3


class TooLargeError(InputError):
    """An image or file with more bytes or pixels than are accepted."""


class UnsupportedFormatError(InputError):
    """Not an image, or an image in a format that is not supported."""


class UnsafeError(CifarlabError):
    """Something was refused because it could run code or read other files."""

    exit_code = 4


class NetworkError(CifarlabError):
    """A download failed, or brought something else than was requested."""

    exit_code = 5


class ResourceError(CifarlabError):
    """Disk or memory ran out, or a file or directory cannot be written."""

    exit_code = 6


class DivergedError(CifarlabError):
    """The loss stopped being a finite number."""

    exit_code = 7


class RunInterruptedError(CifarlabError):
    """Training was stopped by a signal after a resumable checkpoint was saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def warn_user(message: str) -> None:
    """Warn at the line that called into the package, however deep the call is by now.

    From Python 3.12 on ``warnings.warn`` can do that itself (``skip_file_prefixes``).

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn_user("photos: 3 images left out")
        >>> str(caught[0].message)
        'photos: 3 images left out'
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
