"""Words for classes that are numbers, from a file such as ``classes.txt`` or ``label_map.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from cifarlab.data.readers.labelling import Labelling
from cifarlab.data.readers.places import Place
from cifarlab.files import printable

MAX_BYTES = 1024 * 1024
# labels.json may as well be a table of images.
_CALLED = re.compile(
    r"classes\.(txt|json|names)|(labels|names|categories)\.(txt|names)|"
    r"(class|label|cat|category|id|idx|index)s?[_-]?(to|2)?[_-]?"
    r"(name|names|map|mapping|label|class|idx|id|indices|index)\.(txt|json|names)|"
    r"label_num_to_\w+_map\.json|obj\.names",
    re.IGNORECASE,
)
_NUMBER_FIRST = re.compile(r"(\d+)\s*[\s,:;=]\s*(\S.*)")
_NUMBER_LAST = re.compile(r"(.*\S)\s*[\s,:;=]\s*(\d+)")


def is_called_so(file: PurePath) -> bool:
    """Whether a file has a name that such files have.

    Example:
        >>> names = ("classes.txt", "label_map.json", "id2label.json", "labels.json", "train.csv")
        >>> [is_called_so(PurePath(name)) for name in names]
        [True, True, True, False, False]
    """
    return _CALLED.fullmatch(file.name) is not None


def named_from_file(place: Place, labelling: Labelling) -> Labelling:
    """Return ``labelling`` with words for its classes where a file of ``place`` has them for all.

    Nothing changes where the classes are words already, several files differ, or a list does not
    say whether it counts from 0 or from 1; the notes say why.
    """
    if not all(name.isdecimal() for name in labelling.class_names):
        return labelling
    numbers = [int(name) for name in labelling.class_names]
    found: dict[tuple[str, ...], PurePath] = {}
    refused = []
    for file in filter(is_called_so, place.listing.root.other_files()):
        if file in labelling.tables:
            continue
        words = _words(place.read(file, MAX_BYTES), numbers)
        if isinstance(words, str):
            refused.append(f"class names in {printable(file.name)} are not used: {words}")
        elif words:
            found[words] = file
    if len(found) != 1:
        names = ", ".join(printable(file.name) for file in found.values())
        refused += [f"class names in {names} are not used: they differ"] if found else []
        return replace(labelling, notes=(*labelling.notes, *refused))
    ((words, file),) = found.items()
    return replace(
        labelling,
        class_names=words,
        tables=(*labelling.tables, file),
        notes=(*labelling.notes, f"class names from {printable(file.name)}", *refused),
    )


def _words(content: bytes, numbers: Sequence[int]) -> tuple[str, ...] | str:
    """Return a word for each number, none if the file has none for all, or why it is not clear."""
    text = content.decode("utf-8-sig", errors="replace")
    named: Mapping[int, str] | None
    try:
        named = _of_json(json.loads(text))
    except (ValueError, RecursionError):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        named = _of_lines(lines)
        if named is None and numbers == list(range(1, len(lines) + 1)):
            named = dict(enumerate(lines, start=1))
        if named is None and 0 not in numbers and max(numbers) < len(lines):
            return "it does not say whether it counts from 0 or from 1"
        named = named or dict(enumerate(lines))
    words = tuple(named.get(number, "") for number in numbers)
    fit = all(word and word.isprintable() for word in words) and len(set(words)) == len(words)
    return words if fit else ()


def _of_json(value: object) -> Mapping[int, str]:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return dict(enumerate(value))
    if not isinstance(value, dict):
        return {}
    pairs = [(str(key), str(word)) for key, word in value.items()]
    if all(key.isdecimal() for key, _ in pairs):
        return {int(key): word for key, word in pairs}
    return _numbered((number, name) for name, number in pairs)


def _of_lines(lines: Sequence[str]) -> Mapping[int, str] | None:
    """Return the names by the numbers in their lines; ``None`` where the lines have no numbers."""
    for pattern, number, name in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
        matches = [pattern.fullmatch(line) for line in lines]
        if lines and all(matches):
            return _numbered((m[number], m[name]) for m in matches if m)
    return None


def _numbered(pairs: Iterable[tuple[str, str]]) -> Mapping[int, str]:
    return {int(number): name for number, name in pairs if number.isdecimal()}
