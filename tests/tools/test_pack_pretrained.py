"""The page about the pretrained model is what the tool writes from the figures in its file."""

from __future__ import annotations

import json
from pathlib import Path

from cifarlab.saving.pretrained import read_card
from tools.pack_pretrained import page

PAGE = Path(__file__).parents[2] / "docs" / "model_card.md"
# Names of version 0.1, which packed the file.
OLD_NAMES = {
    "pictures": "images",
    "picture": "image",
    '"views"': '"tta"',
    '"one_look"': '"without_tta"',
    "boxed94": "pretrained94",
}


def test_the_documented_figures_are_those_in_the_file() -> None:
    text = json.dumps(read_card())
    for old, new in OLD_NAMES.items():
        text = text.replace(old, new)
    assert page(json.loads(text)) == PAGE.read_text(encoding="utf-8")
