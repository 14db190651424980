"""Keep freed memory in the process while training on a CPU.

PyTorch allocates every activation from the C library and frees it within the step. Above a
certain size, glibc takes such blocks from the kernel each time, which then has to clear them
page by page: that takes a quarter of a step of the baseline. See docs/log.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator

# Names and values of <malloc.h>.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# The largest threshold that glibc accepts. Larger blocks still come from the kernel and go back
# to it, which keeps the heap from growing by fragmentation.
LARGEST_KEPT = 32 << 20
# Setting a limit ends glibc's own adaptation; this is the value that it would have reached.
ADAPTED_TRIM = 2 * LARGEST_KEPT


@contextlib.contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Make the C library reuse blocks of up to 32 MiB inside the block, and free all after it.

    Does nothing where the C library is not glibc.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(M_TRIM_THRESHOLD, ADAPTED_TRIM)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
