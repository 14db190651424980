"""Many images are cut into batches of few sizes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cifarlab.lowering.predict import pieces


@given(count=st.integers(0, 5000), power=st.integers(0, 11))
def test_pieces_cover_all_images_in_few_sizes(count: int, power: int) -> None:
    largest = 2**power
    parts = pieces(count, largest)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
    sizes = [part.stop - part.start for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) <= {max(1, largest // 8**k) for k in range(5)}
