"""What the documentation shows works: Python blocks run, commands parse, names exist.

The blocks of a page run one after the other, in a folder of their own, with the named datasets
shrunk to a few hundred drawn images. A block that cannot be run has a comment before it that says
why: ``<!-- not run: needs a browser -->``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>.+?) -->\n+)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
INLINE = re.compile(r"`(cifarlab [^`]+)`")
SHELL = ("console", "bash", "sh")
# What stands for something else in a text: no command of that name can be parsed.
NOT_COMMANDS = {"cifarlab COMMAND --help"}


class Block(NamedTuple):
    """A fenced block: what it is called, its language and text, why it is not run."""

    page: str
    line: int
    kind: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    return [
        Block(name, text.count("\n", 0, m.start("text")) + 1, m["kind"], m["text"], m["reason"])
        for m in FENCE.finditer(text)
    ]


def python_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.kind == "python" and not block.reason]


# --- Python blocks


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def with_images(folder: Path) -> None:
    draw(folder / "cat.jpg", 0)
    draw(folder / "new.jpg", 1)
    for number in range(30):
        draw(folder / "photos" / ("cat", "dog")[number % 2] / f"{number}.png", number)


def with_scenes(folder: Path, _: dict[str, Any]) -> None:
    """Images of which every third is in two class folders."""
    for number in range(60):
        for name in (("sea",), ("sunset",), ("sea", "sunset"))[number % 3]:
            draw(folder / "scenes" / name / f"beach{number}.png", number)


def with_exports(folder: Path, names: dict[str, Any]) -> None:
    """What ``cifarlab export`` has written before docs/export.md loads it."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    import keras

    from cifarlab.classifier import Classifier
    from cifarlab.exporting import export

    layers = [keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255)]
    layers += [keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    classifier = Classifier.from_keras(keras.Sequential(layers), list("abcdefghij"))
    for kind, suffix in (("onnx", ".onnx"), ("torch", ".pt2"), ("keras", ".keras")):
        export(classifier, kind, folder / f"cifar10{suffix}")
    names["pixels"] = np.zeros((2, 32, 32, 3), np.uint8)


BEFORE: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "docs/export.md": with_exports,
    "docs/own_images.md": with_scenes,
}


@pytest.fixture
def tiny_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the names of datasets stand for a few drawn images, trained on no longer than many."""
    from cifarlab import recipes
    from cifarlab.data import cache, catalog
    from cifarlab.data.named import shapes

    for name, recipe in recipes.RECIPES.items():
        monkeypatch.setitem(recipes.RECIPES, name, replace(recipe, few_images=None))
    drawn = cache.get(shapes.key(), lambda _: shapes.draw())
    train, test = drawn.train.subset(np.arange(300)), drawn.test.subset(np.arange(100))
    tiny = {
        name: cache.Decoded(
            name=name, source="drawn", class_names=drawn.class_names, train=train, test=test
        )
        for name in catalog.KNOWN_CONTENT
    }
    readers = {name: lambda _, content=content: content for name, content in tiny.items()}
    monkeypatch.setattr(catalog, "KNOWN_CONTENT", readers)


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in PAGES if python_blocks(p)]
)
@pytest.mark.usefixtures("tiny_data")
@pytest.mark.timeout(120)
def test_the_python_blocks_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_images(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    name = page.relative_to(ROOT).as_posix()
    BEFORE.get(name, lambda *_: None)(tmp_path, names)
    for block in python_blocks(page):
        # So that a traceback names the page and the line.
        code = compile("\n" * (block.line - 1) + block.text, name, "exec")
        exec(code, names)


def test_few_blocks_are_not_run_and_they_say_why() -> None:
    left_out = [b for page in PAGES for b in blocks(page) if b.kind == "python" and b.reason]
    assert len(left_out) <= 3
    assert all(len(block.reason or "") > 5 for block in left_out)


# --- commands


def commands(page: Path) -> Iterator[tuple[int, str]]:
    """Yield every ``cifarlab …`` of a page, in shell blocks and in the text, with its line."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        if block.kind in SHELL:
            for number, line in enumerate(block.text.splitlines()):
                words = line.strip().removeprefix("$ ")
                if words.startswith("cifarlab "):
                    yield block.line + number, words
    fenced = FENCE.sub(lambda match: "\n" * match.group().count("\n"), text)
    for match in INLINE.finditer(fenced):
        yield fenced.count("\n", 0, match.start()) + 1, match[1].replace("\n", " ")


def parse(line: str) -> None:
    """Parse a command as the program does, without running it.

    Raises:
        click.ClickException: it has no such command or option, or the value is of another type.
    """
    from cifarlab.cli.main import app

    words = shlex.split(line, comments=True)[1:]
    command, name = typer.main.get_command(app), "cifarlab"
    while words and words[0] in getattr(command, "commands", {}):
        name = words.pop(0)
        command = command.commands[name]
    shown = {"--help", "--version"} & set(words)
    if not shown:
        assert not hasattr(command, "commands"), f"no such command: {line}"
        command.make_context(name, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_exist_with_their_options(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = []
    for number, line in commands(page):
        if line in NOT_COMMANDS:
            continue
        try:
            parse(line)
        except (Exception, SystemExit) as error:
            message = getattr(error, "message", None) or error
            wrong.append(f"{page.name}:{number}: {line}: {message}")
    assert not wrong, "\n".join(wrong)


def test_commands_are_found_and_wrong_ones_refused() -> None:
    found = [line for page in PAGES for _, line in commands(page)]
    assert len(found) > 40
    for line in ("cifarlab nothing", "cifarlab train --nothing", "cifarlab train --epochs many"):
        with pytest.raises((Exception, SystemExit)):
            parse(line)


# --- names, links and figures


def test_every_public_name_is_in_the_reference() -> None:
    import cifarlab

    text = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    shown = {name.rsplit(".", 1)[1] for name in re.findall(r"^::: ([\w.]+)$", text, re.M)}
    assert set(cifarlab.__all__) - {"CifarlabError"} <= shown
    assert "errors" in shown


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"^ +- [^\n]*?: ([\w/]+\.md)$", text.split("\nnav:")[1], re.M)
    pages = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert sorted(named) == sorted(pages)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_every_package_of_the_metadata_is_explained() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    explained = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8").lower()
    extras = project["optional-dependencies"]
    for line in (*project["dependencies"], *(line for extra in extras.values() for line in extra)):
        name = re.split(r"[\s\[<>=!;]", line, maxsplit=1)[0]
        assert name == "cifarlab" or re.search(rf"\b{re.escape(name)}\b", explained), name
    assert all(f"`{extra}`" in explained for extra in extras)
