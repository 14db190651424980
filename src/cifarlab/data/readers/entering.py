"""Which folder holds the data, where others stand beside it: a project's, or a second version."""

from __future__ import annotations

from collections.abc import Sequence

from cifarlab.data.readers.class_folders import without_wrappers
from cifarlab.data.readers.labelling import some
from cifarlab.data.readers.split_folders import have_nested_train, have_train
from cifarlab.data.readers.tree import Folder
from cifarlab.data.samples import Rejected
from cifarlab.files import printable

# Folders of a project that hold images which are no data.
PROJECT = frozenset(
    {"doc", "docs", "src", "lib", "assets", "static", "resources", "public", "web"}
    | {"notebooks", "scripts", "tools", "figures", "figure", "figs", "plots", "screenshots"}
    | {"results", "outputs", "output", "logs", "models", "checkpoints", "demo", "examples"}
    | {"readme_images", "readme", "logo", "logos", "icons", "reports", "slides"}
)


def enter(folder: Folder) -> tuple[Folder, list[str]] | Rejected:
    """Return the folder below ``folder`` that holds the data, and what was decided.

    A folder is entered where it is the only one with images, the only one with splits, or the
    only one with class folders beside those of a project. Where several hold data, a part of it is
    divided and another is not, so that reading all of them would train on test images.
    """
    notes: list[str] = []
    while True:
        folder, more = without_wrappers(folder)
        notes += more
        inner = folder.with_images
        divided = [] if have_train(inner) else [f for f in inner if _is_divided(f)]
        holding = [f for f in inner if len(without_wrappers(f)[0].with_images) > 1]
        if divided and len(divided) < len(inner) and len(holding) > 1:
            return Rejected(
                reason=f"{some([f.name for f in divided])} is divided into splits and "
                f"{some([f.name for f in holding if f not in divided])} is not; {give_one(holding)}"
            )
        if len(holding) != 1:
            return folder, notes
        others = [f for f in inner if f not in holding]
        beside = len(folder.images) + sum(map(_count, others))
        is_project = all(f.name.casefold() in PROJECT for f in others)
        if not (divided or is_project) or not 0 < beside <= _count(holding[0]):
            return folder, notes
        what = "with splits" if divided else "with class folders"
        folder = holding[0]
        notes.append(
            f"read from {printable(folder.path)}, the only folder {what}; left out {beside:,} "
            "images beside it"
        )


def give_one(folders: Sequence[Folder]) -> str:
    """Return the advice to give the path of one of ``folders``."""
    return f"give the path of one: {some([str(f.path) for f in folders])}"


def _is_divided(folder: Folder) -> bool:
    """Whether a folder holds splits that hold class folders."""
    return have_nested_train(without_wrappers(folder)[0].with_images)


def _count(folder: Folder) -> int:
    return sum(len(f.images) for f in folder.all_folders())
