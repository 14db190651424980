"""The common style of all plots, and writing a figure to a file.

Neither pyplot nor matplotlib's global settings are used, so this works in threads, in servers
and beside a user's own plots.
"""

from __future__ import annotations

import io
import textwrap
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from cifarlab.files import atomic_write

# From the palette of Okabe and Ito ("Color Universal Design", 2008), which people with the
# common forms of colour blindness can distinguish.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREY = "#595959"

LINES = "#dddddd"
# The same colours for a dark page.
ON_DARK = {
    BLUE: "#56B4E9",
    ORANGE: "#E69F00",
    GREY: "#a8a8a8",
    LINES: "#3d3d42",
    "black": "#ececec",
    "white": "#1b1b1f",
}

# Common system fonts, for characters that matplotlib's own font lacks.
FALLBACK_FONTS = (
    "Noto Sans CJK JP",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Noto Sans",
    "Arial Unicode MS",
    "Noto Emoji",
    "Segoe UI Emoji",
)


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return a white figure of ``width`` by ``height`` inches with a heading that fits into it."""
    # The layout underestimates the label of a square panel slightly; hence the padding.
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06)
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    lines = [textwrap.fill(drawable(line), int(width * 9)) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=12)
    return figure


def finished(figure: Figure) -> Figure:
    """Draw every text of ``figure`` literally (``$`` is a dollar sign), in installed fonts."""
    fonts = _fonts()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_usetex(False)
        text.set_fontfamily(fonts)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG, complete or not at all; the same figure gives the same bytes.

    Raises:
        ResourceError: the disk is full or the directory cannot be written to.
    """
    atomic_write(path, lambda file: figure.savefig(file, format="png", metadata={"Software": None}))


def darkened(figure: Figure) -> Figure:
    """Change the colours of a figure of this style to those of ``ON_DARK``; return it."""
    on_dark = {to_rgba(light): to_rgba(dark) for light, dark in ON_DARK.items()}
    # Matplotlib's default for lines that no plot sets.
    on_dark[to_rgba("0.8")] = to_rgba(ON_DARK[LINES])

    def changed(colour: Any) -> Any:
        red, green, blue, alpha = to_rgba(colour)
        new = on_dark.get((red, green, blue, 1.0))
        return colour if new is None else (*new[:3], alpha)

    for axes in figure.axes:
        axes.tick_params(colors=ON_DARK["black"])
    for artist in figure.findobj():
        if isinstance(artist, (Text, Line2D)):
            artist.set_color(changed(artist.get_color()))
        if isinstance(artist, Line2D):
            artist.set_markeredgecolor(changed(artist.get_markeredgecolor()))
        if isinstance(artist, (Patch, Collection)):
            edges = artist.get_edgecolor()
            faces = artist.get_facecolor()
            if isinstance(artist, Patch):
                artist.set(edgecolor=changed(edges), facecolor=changed(faces))
            else:
                artist.set_facecolor([changed(face) for face in np.atleast_2d(faces)])
    return figure


def svg(figure: Figure) -> bytes:
    """Return ``figure`` as SVG, its letters as outlines, so that it needs no font."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def drawable(text: str) -> str:
    """Replace control characters by spaces, and characters that no font has by boxes.

    Example:
        >>> drawable("two\\nlines")
        'two lines'
    """
    if text.isascii() and text.isprintable():
        return text
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in _fonts()]

    def drawable(char: str) -> str:
        if not char.isprintable():
            return " "
        return char if any(font.get_char_index(ord(char)) for font in fonts) else "□"

    return "".join(map(drawable, text))


def shortened(text: str, width: int) -> str:
    """Cut the middle out of ``text``, so that it is at most ``width`` letters wide.

    Example:
        >>> shortened("a-long-class-name", 9)
        'a-lo…name'
    """
    text = drawable(text)
    widths = [2 if unicodedata.east_asian_width(c) in "WF" or c == "□" else 1 for c in text]
    if sum(widths) <= width:
        return text
    head, tail = 0, len(text)
    used = 1
    while used + widths[head] <= width // 2 + 1:
        used += widths[head]
        head += 1
    while used + widths[tail - 1] <= width:
        used += widths[tail - 1]
        tail -= 1
    return f"{text[:head]}…{text[tail:]}"


def _fonts() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]
