"""``--help`` answers at once, fits a terminal and shows examples."""

from __future__ import annotations

import re

import pytest

from cifarlab import __version__
from support import python

VERBS = (
    (),
    ("train",),
    ("evaluate",),
    ("predict",),
    ("report",),
    ("compare",),
    ("lr-find",),
    ("lesson",),
    ("run",),
    ("data",),
    ("data", "info"),
    ("data", "check"),
    ("data", "download"),
    ("data", "labels"),
)
HEAVY = ("keras", "torch", "numpy", "PIL", "sklearn", "matplotlib", "pyarrow", "scipy", "requests")


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_fits_80_columns(cifarlab, verb):
    result = cifarlab(*verb, "--help")
    assert result.code == 0
    assert result.err == ""
    assert max(map(len, result.out.splitlines())) <= 80


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != ("data",)], ids=" ".join)
def test_help_shows_each_example_on_one_line(cifarlab, verb):
    lines = cifarlab(*verb, "--help").out.splitlines()
    assert "  Examples:" in lines
    start = lines.index("  Examples:") + 1
    end = lines.index("", start) if "" in lines[start:] else len(lines)
    examples = lines[start:end]
    assert len(examples) >= 2
    own = " ".join(("cifarlab", *verb))
    assert all(own in line and line.startswith("    ") for line in examples)


def test_help_explains_every_option(cifarlab):
    for verb in VERBS[1:]:
        options = cifarlab(*verb, "--help").out.split("Options:")[1]
        for line in re.findall(r"^  -.*$", options, re.MULTILINE):
            assert re.search(r"\S  +\S", line.strip()), f"{verb}: {line}"


@pytest.mark.parametrize("verb", [(), ("data",)], ids=["cifarlab", "data"])
def test_without_arguments_the_help_is_shown_as_it_is(cifarlab, verb):
    result = cifarlab(*verb)
    assert result.code == 2
    assert result.out == ""
    assert result.err.strip() == cifarlab(*verb, "--help").out.strip()


def test_version(cifarlab):
    result = cifarlab("--version")
    assert (result.code, result.out, result.err) == (0, f"cifarlab {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["nosuch"]])
def test_help_and_misuse_import_nothing_heavy(arguments):
    child = python(
        f"""
        import sys
        from cifarlab.cli.main import main
        code = main({arguments!r})
        assert not [name for name in {HEAVY!r} if name in sys.modules], sys.modules.keys()
        sys.exit(code)
        """
    )
    _, err = child.communicate()
    assert child.returncode == (0 if "--help" in arguments else 2), err


def test_the_module_is_the_command():
    child = python(
        """
        import runpy, sys
        sys.argv = ["cifarlab", "--version"]
        runpy.run_module("cifarlab", run_name="__main__")
        """
    )
    out, err = child.communicate()
    assert (child.returncode, out, err) == (0, f"cifarlab {__version__}\n", "")
