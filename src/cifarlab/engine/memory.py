"""Keep freed memory in the process while training on a CPU.

PyTorch asks the C library for every activation and gives it back within the step. Beyond
a size, glibc takes such blocks fresh from the kernel each time, which then has to clear
them page by page: a quarter of a step of the baseline. See docs/log.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator

# Names and values of <malloc.h>.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
DEFAULT_TRIM_THRESHOLD, DEFAULT_MMAP_MAX = 128 * 1024, 65536


@contextlib.contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Have the C library reuse large blocks inside the block; give all back after it.

    Does nothing where the C library is not glibc.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(M_MMAP_MAX, DEFAULT_MMAP_MAX)
        library.mallopt(M_TRIM_THRESHOLD, DEFAULT_TRIM_THRESHOLD)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
