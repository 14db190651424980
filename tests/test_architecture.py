"""The package's shape: few modules in its root, a word about every room, and no circles."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

import cifarlab

ROOT = Path(cifarlab.__file__).parent
ROOMS = sorted(path.parent for path in ROOT.rglob("__init__.py") if path.parent != ROOT)


def test_no_two_modules_import_each_other_not_even_by_way_of_others() -> None:
    graph = grimp.build_graph("cifarlab", cache_dir=None)
    # The root names every part of its surface, and imports it when it is first asked for.
    modules = graph.modules - {"cifarlab"}
    imports = {name: graph.find_modules_directly_imported_by(name) & modules for name in modules}
    # Late imports and imports for types count. A circle raises, and is shown.
    order = list(TopologicalSorter(imports).static_order())
    assert len(order) == len(modules) > 100


def test_the_root_keeps_few_modules() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 10


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(ROOT).as_posix())
def test_every_room_says_what_lives_there_and_what_it_may_use(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    assert said is not None
    assert "May use " in said
