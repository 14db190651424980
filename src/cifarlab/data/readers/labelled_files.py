"""What tells the class of each image file: folders, a table, a file beside it, or its own name.

Every way is tried that the options leave open. One that fits is taken; none is a ``Rejected``
with each one's reason; two that contradict each other are an error that names both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from pathlib import Path, PurePath

from cifarlab.data.load_options import AUTO, LoadOptions
from cifarlab.data.multi_label.refusal import SeveralLabelsError
from cifarlab.data.readers import file_names, label_files, layouts, one_class, split_lists, tables
from cifarlab.data.readers.annotations import of_objects
from cifarlab.data.readers.class_folders import NO_CLASSES
from cifarlab.data.readers.class_name_files import named_from_file
from cifarlab.data.readers.companions import without_companions
from cifarlab.data.readers.labelling import Labelling, some
from cifarlab.data.readers.places import Place
from cifarlab.data.readers.split_list_files import UNREAD
from cifarlab.data.readers.split_names import TRAIN, split_of, splits_of
from cifarlab.data.readers.tree import Folder, count_others
from cifarlab.data.readers.unread import unread_images
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import InputError, UsageError
from cifarlab.files import printable

ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".rar", ".7z"})
Way = Callable[[Place, LoadOptions], Labelling | Rejected]
FindIn = Callable[[Place, LoadOptions], Found | Rejected]


def find_in(place: Place, options: LoadOptions) -> Found | Rejected:
    """Return the images of ``place`` and the class of each, or why they cannot be told.

    Raises:
        InputError: two ways contradict each other, or what an option asks for is not there.
        UsageError: options that ask for two ways at once.
    """
    if not place.listing.root.has_images:
        return Rejected(reason=_of_objects(place) or _without_images(place))
    place, notes = _without_companions(place, options)
    fitting, reasons, broken = _asked(place, options)
    if not fitting:
        if broken:
            # What is broken comes first, whatever else there may be.
            reasons = [reason for reason in reasons if reason != file_names.REMEDY]
        hints = [f"{note}; if they are classes, --class-folder first" for note in notes]
        if unread := _unread_labels(place):
            hints.append(unread)
        said = "; ".join([*broken, *reasons, *hints])
        return Rejected(reason=_of_objects(place) or said)
    if broken:
        _refuse_if_a_table_may_tell(place, fitting)
    labelling = split_lists.divided(place, named_from_file(place, _agreed(place, fitting)))
    found = found_of(place, labelling)
    used = [printable(path) for path in labelling.tables]
    not_used = (f"not used: {r}" for r in broken if not any(path in r for path in used))
    return replace(found, notes=(*found.notes, *notes, *not_used))


def _unread_labels(place: Place) -> str:
    """Return what to do with files that may hold the labels and are not read; empty for none."""
    files = [f for f in place.listing.root.other_files() if f.suffix.lower() in UNREAD]
    if not files:
        return ""
    return (
        f"{some([file.name for file in files])} may hold the classes, and cannot be read; write a "
        "CSV of file and label beside the images"
    )


def _of_objects(place: Place) -> str:
    """Return what annotations of objects the place holds; empty where folders may be classes."""
    root = place.listing.root
    holding = {folder.name for folder in root.all_folders() if folder.images}
    may_be_classes = [n for n in holding if split_of(n) is None and n.casefold() not in NO_CLASSES]
    if len(may_be_classes) > 1:
        return ""
    return of_objects(list(root.other_files()), list(root.everything()), place.read)


def _without_companions(place: Place, options: LoadOptions) -> tuple[Place, tuple[str, ...]]:
    root, notes = without_companions(place.listing.root, class_folder=options.class_folder)
    return replace(place, listing=replace(place.listing, root=root)), notes


def _asked(place: Place, options: LoadOptions) -> tuple[list[Labelling], list[str], list[str]]:
    """Return the ways that fit, why others do not, and what is wrong where one should.

    Raises:
        InputError: what is wrong in the only way, or none fits and images have several labels.
    """
    ways = _ways(place, options)
    fitting, reasons, broken = [], [], []
    several: SeveralLabelsError | None = None
    for way in ways:
        try:
            answer = way(place, options)
        except InputError as error:
            if len(ways) == 1:
                raise
            broken.append(str(error))
            several = error if isinstance(error, SeveralLabelsError) else several
        else:
            if isinstance(answer, Labelling):
                fitting.append(answer)
            elif answer.reason:
                reasons.append(answer.reason)
    if several is not None and not fitting:
        # Why other ways do not fit is of no use then.
        raise several
    return fitting, reasons, broken


def class_folders(place: Place, options: LoadOptions) -> Labelling | Rejected:
    """Return what the folders of ``place`` say."""
    root = place.listing.root
    only = one_class.find(root, options.known_classes)
    return only or layouts.understand(root, class_folder=options.class_folder)


def _ways(place: Place, options: LoadOptions) -> Sequence[Way]:
    """Return the ways that the options leave open."""
    asked: dict[str, Way] = {}
    if options.labels is not None:
        asked["--labels"] = tables.label
    if options.label_pattern is not None:
        asked["--label-pattern"] = file_names.label
    if options.class_folder != AUTO:
        asked["--class-folder"] = class_folders
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)}: each says where the classes are; give one")
    if not asked and (options.label_column or options.image_column):
        return [tables.label]
    if asked:
        return list(asked.values())
    if one_class.find(place.listing.root, options.known_classes) is not None:
        return [class_folders, tables.label, label_files.label]
    return [class_folders, tables.label, label_files.label, file_names.label]


def _without_images(place: Place) -> str:
    files = list(place.listing.root.other_files())
    archives = [file for file in files if file.suffix.lower() in ARCHIVES]
    if archives and not place.path.is_file():
        return _archives(archives)
    if unread := unread_images(files):
        return unread
    left_out = place.listing.left_out
    if not left_out:
        return "holds no image files"
    return f"holds no image files ({len(left_out):,} left out, the first is {left_out[0]})"


def _archives(archives: Sequence[PurePath]) -> str:
    """Return what to do with a folder of archives."""
    if len(archives) == 1:
        return f"holds no image files, but {printable(archives[0])}; give that, or unpack it"
    names = [file.name for file in archives]
    together = "unpack each into a folder of its name here, and give this folder again"
    if TRAIN in splits_of(names).values():
        return f"holds no image files, but the archives of splits, {some(names)}; {together}"
    return f"holds no image files, but {some(names)}; give the path of one, or {together}"


def _agreed(place: Place, fitting: Sequence[Labelling]) -> Labelling:
    """Return the way that says most; all others must say the same of the images they label."""
    if len(fitting) == 1:
        return fitting[0]
    best = max(fitting, key=lambda way: (len(way.by_path), len(way.splits)))
    for other in fitting:
        if other is not best and not _agree(best, other):
            ways = " or ".join(f"{way.reading} ({len(way.class_names)} classes)" for way in fitting)
            raise InputError(
                f"{printable(place.path)}: the classes may be those of {ways}, which do not "
                "agree; say which with --class-folder first or last, --labels FILE or "
                "--label-pattern PATTERN"
            )
    return _named_by_words(best, fitting)


def _named_by_words(best: Labelling, fitting: Sequence[Labelling]) -> Labelling:
    """Return ``best`` with the other ways' words for its classes, where it has numbers only."""
    if not all(name.isdecimal() for name in best.class_names):
        return best
    ours = best.by_path
    for other in fitting:
        words = {ours[path][1]: name for path, (_, name) in other.by_path.items() if path in ours}
        if other is not best and len(words) == len(best.class_names):
            names = tuple(words[name] for name in best.class_names)
            # With the options of one way alone the words would be lost the next time.
            return replace(best, class_names=names, options={})
    return best


def _refuse_if_a_table_may_tell(place: Place, fitting: Sequence[Labelling]) -> None:
    """Refuse folders that may be parts where a table, not understood, names the images in them."""
    if any(way.tables for way in fitting):
        return
    for way in fitting:
        path = tables.table_that_may_tell(place, way)
        if path is not None:
            raise InputError(
                f"{printable(place.path)}: the classes may be {way.reading} "
                f"({some(way.class_names)}) or in {printable(path)}; say which with "
                "--class-folder first, or with --labels FILE --label-column COLUMN"
            )


def _agree(one: Labelling, other: Labelling) -> bool:
    """Whether two ways put the images that both label into the same classes and splits."""
    ours, theirs = one.by_path, other.by_path
    common = ours.keys() & theirs.keys()
    classes = {(ours[path][1], theirs[path][1]) for path in common}
    one_to_one = len(classes) == len({a for a, _ in classes}) == len({b for _, b in classes})
    divided = len(one.splits) > 1 and len(other.splits) > 1
    same_split = not divided or all(ours[path][0] == theirs[path][0] for path in common)
    return bool(common) and one_to_one and same_split


def found_of(place: Place, labelling: Labelling) -> Found:
    root = place.listing.root
    read = set(labelling.tables)
    others = [file for file in root.other_files() if file not in read]
    if place.path.is_file():
        outside = [table for table in labelling.tables if not table.is_relative_to(place.path)]
        files = [place.path, *outside]
    else:
        files = [*root.everything(), *labelling.tables]
    return Found(
        what=place.what,
        name=place.name,
        source=str(place.path.absolute()),
        class_names=labelling.class_names,
        splits={split: place.samples(named) for split, named in labelling.splits.items()},
        files=tuple(file if isinstance(file, Path) else Path(file) for file in files),
        notes=(
            *place.listing.left_out,
            *count_others(others),
            *_folders_without_images(root, read),
            *labelling.notes,
        ),
        options=labelling.options,
    )


def _folders_without_images(root: Folder, read: Set[PurePath]) -> tuple[str, ...]:
    """Return one line for folders that stand beside those with images, and hold none."""
    names = dict.fromkeys(
        folder.name
        for above in root.all_folders()
        if above.with_images
        for folder in above.folders
        if not folder.has_images and not folder.is_empty and read.isdisjoint(folder.other_files())
    )
    return (f"folders without images are no classes: {some(list(names))}",) if names else ()
