"""On a terminal there is a progress bar; in a pipe there are plain lines."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

from support import posix_only

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from cifarlab import recipes
from cifarlab.cli.main import main
from tiny import tiny_recipe
recipes.RECIPES["baseline"] = tiny_recipe(augment=(), epochs=2)
sys.exit(main(["train", "--data", sys.argv[2]]))
"""
BAR = "━"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def command(photos: Path) -> list[str]:
    return [sys.executable, "-c", CODE, str(Path(__file__).parents[1]), str(photos)]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}


def too_wide(text: str, tmp_path: Path) -> list[str]:
    """Return what would wrap, absolute paths apart; a carriage return starts a line over."""
    lines = re.split(r"[\r\n]+", ESCAPE.sub("", text))
    return [line for line in lines if len(line) > 80 and str(tmp_path) not in line]


@posix_only
def test_a_terminal_gets_a_bar_within_its_width(photos, tmp_path):
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    child = subprocess.Popen(
        command(photos), stdin=theirs, stdout=theirs, stderr=theirs, env=environment()
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            # Linux's way of saying that the other side has closed.
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    text = seen.decode()
    assert child.wait() == 0, text
    assert BAR in text
    assert too_wide(text, tmp_path) == []
    # The bar is gone when the results come.
    assert BAR not in text[text.index("test accuracy") :]


def test_a_pipe_gets_neither_bar_nor_escapes(photos, tmp_path):
    done = subprocess.run(
        command(photos), capture_output=True, text=True, env=environment(), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert BAR not in done.stdout
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    assert too_wide(done.stdout, tmp_path) == []
    assert len(re.findall(r"^epoch [12]/2  loss ", done.stdout, re.MULTILINE)) == 2
