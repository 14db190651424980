"""Archives are read like the folder that they were made from, and nothing is unpacked."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifarlab.data.image import MAX_BYTES
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import archives, folder, name_tree, tar_files
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import InputError, UnsafeError
from data.readers.places import DEFAULTS, classes, contents, found, made, png, write

KINDS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def packed(root: Path, kind: str, order: Callable[[list[Path]], list[Path]] = sorted) -> Path:
    """Return an archive of all below ``root``, in the order of ``order``."""
    archive = root.with_name(root.name + kind)
    files = order([path for path in root.rglob("*") if path.is_file()])
    if kind == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made_zip:
            for file in files:
                made_zip.write(file, file.relative_to(root))
    else:
        mode = "w:" + {".tgz": "gz", ".tar": ""}.get(kind, kind.rpartition(".")[2])
        with tarfile.open(archive, mode) as made_tar:  # type: ignore[call-overload]
            for file in files:
                made_tar.add(file, file.relative_to(root))
    return archive


def zip_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/") + ".png", content)
    return path


LAYOUTS = {
    "class folders": ("cat/1.png", "cat/2.png", "dog/1.png"),
    "splits": ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png"),
    "a wrapper": ("photos-main/b/1.png", "photos-main/a/1.png", "__MACOSX/b/1.png"),
    "names": ("cat.1.png", "dog.1.png", "cat.2.png", "dog.2.png"),
    "no suffix": ("cat/1", "dog/2", "dog/3"),
    "a run": ("cat/1.png", "dog/1.png", "runs/a-1/samples.png"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_archive_is_read_like_its_folder(tmp_path: Path, layout: str, kind: str) -> None:
    root = made(tmp_path / "photos", *LAYOUTS[layout], **{"notes.txt": "hello"})
    if layout == "a run":
        made(root / "runs" / "a-1", **{"recipe.json": "{}", "environment.json": "{}"})
    expected = found(folder.find(root, DEFAULTS))
    answer = found(archives.find(packed(root, kind, lambda files: sorted(files)[::-1]), DEFAULTS))
    assert answer.class_names == expected.class_names
    assert classes(answer) == classes(expected)
    assert contents(answer) == contents(expected)
    assert answer.options == expected.options
    assert answer.name == expected.name == "photos"
    assert answer.files == (Path(answer.source),)
    assert [n.replace(f"photos{kind}", "photos") for n in answer.notes] == list(expected.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_in_an_archive_labels_its_images(tmp_path: Path, kind: str) -> None:
    root = made(tmp_path / "photos", "train/1.png", "train/2.png", "train/3.png")
    write(root / "train.csv", "id,label\n1,a\n2,b\n3,a\n")
    archive = packed(root, kind, lambda files: sorted(files)[::-1])
    answer = archives.find(archive, DEFAULTS)
    assert classes(answer) == classes(folder.find(root, DEFAULTS))
    assert contents(answer) == contents(folder.find(root, DEFAULTS))
    outside = write(tmp_path / "mine.csv", "id,label\n1,x\n2,y\n3,y\n")
    assert found(archives.find(archive, LoadOptions(labels=str(outside)))).class_names == ("x", "y")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_members_gives_the_same_images(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    paths = st.lists(
        st.tuples(
            st.sampled_from(["train/", "test/", ""]), st.sampled_from("ab"), st.integers(0, 9)
        ),
        min_size=2,
        max_size=8,
        unique=True,
    )
    names = [f"{top}{name}/{number}.png" for top, name, number in data.draw(paths)]
    root = made(tmp_path / "photos", *names)
    kind = data.draw(st.sampled_from(KINDS[:3]))
    archive = packed(root, kind, lambda files: data.draw(st.permutations(sorted(files))))
    expected, answer = folder.find(root, DEFAULTS), archives.find(archive, DEFAULTS)
    assert type(answer) is type(expected)
    if isinstance(expected, Found):
        assert classes(answer) == classes(expected)
        assert contents(answer) == contents(expected)


def test_members_whose_path_leads_out_links_and_devices_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("cat/1.png", "dog/1.png", "../evil.png", "/abs.png"):
            info = tarfile.TarInfo(name)
            info.size = len(png())
            archive.addfile(info, io.BytesIO(png()))
        for name, kind in (("cat/link.png", tarfile.SYMTYPE), ("dog/dev.png", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    answer = found(archives.find(path, DEFAULTS))
    assert set(classes(answer)["train"]) == {"cat/1.png", "dog/1.png"}
    notes = " ".join(answer.notes)
    assert "../evil.png: left out, its path leads out" in notes
    assert "/abs.png: left out, its path leads out" in notes
    assert "left out 2 links and special files" in notes


def test_links_in_a_zip_are_left_out(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", cat__1=png(), dog__1=png())
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("cat/link.png")
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    answer = found(archives.find(path, DEFAULTS))
    assert set(classes(answer)["train"]) == {"cat/1.png", "dog/1.png"}
    assert any("left out 1 links" in note for note in answer.notes)


def test_names_with_backslashes_are_paths(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("cat/1.png", "dog/1.png"):
            info = zipfile.ZipInfo(name)
            info.filename = name.replace("/", "\\")
            archive.writestr(info, png())
    assert found(archives.find(path, DEFAULTS)).class_names == ("cat", "dog")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", cat__1=png(), dog__1=png())
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="encrypted; unpack it with its password"):
        archives.find(path, DEFAULTS)


def test_of_a_huge_member_only_a_bounded_part_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.png", png())
        archive.writestr("dog/1.png", bytes(MAX_BYTES + 1000))
    answer = found(archives.find(path, DEFAULTS))
    assert [len(c) for c in contents(answer)["train"].values()] == [len(png()), MAX_BYTES + 1]


def test_a_tar_that_unpacks_to_far_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_files, "MAX_UNPACKED_BYTES", 10**6)
    root = made(tmp_path / "photos", "cat/1.png")
    (root / "cat" / "2.png").write_bytes(bytes(5 * 10**6))
    with pytest.raises(UnsafeError, match="bytes that unpack to more than"):
        archives.find(packed(root, ".tar.gz"), DEFAULTS)
    assert isinstance(archives.find(packed(root, ".tar"), DEFAULTS), Rejected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_an_archive_that_is_cut_off_is_an_error_in_one_line(
    tmp_path: Path, kind: str, share: float
) -> None:
    root = tmp_path / "photos"
    for number in range(40):
        write(root / f"{'ab'[number % 2]}/{number}.png", os.urandom(2000))
    archive = packed(root, kind)
    os.truncate(archive, int(archive.stat().st_size * share))
    with pytest.raises(InputError, match=r"a damaged (zip|tar) archive") as caught:
        archives.find(archive, DEFAULTS)
    assert "\n" not in str(caught.value)


def test_a_tar_with_a_damaged_head_in_the_middle_loses_nothing_in_silence(tmp_path: Path) -> None:
    root = made(tmp_path / "photos", *(f"{c}/{i}.png" for c in "ab" for i in range(4)))
    archive = packed(root, ".tar")
    data = bytearray(archive.read_bytes())
    at = data.index(b"a/3.png")
    data[at : at + 512] = b"\xff" * 512
    archive.write_bytes(data)
    with pytest.raises(InputError, match="a damaged tar archive"):
        archives.find(archive, DEFAULTS)


def test_a_damaged_member_of_a_zip_has_no_content(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", cat__1=png(1), dog__1=png(2), dog__2=png(3))
    data = bytearray(path.read_bytes())
    at = data.index(png(2)) + 20
    data[at] ^= 0xFF
    path.write_bytes(data)
    read = contents(archives.find(path, DEFAULTS))["train"]
    assert read == {"cat/1.png": png(1), "dog/1.png": b"", "dog/2.png": png(3)}


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("x/data.npz", "holds 'x/data.npz'; unpack"),
        ("inner.zip", "unpack"),
        ("a.parquet", "unpack"),
    ],
)
def test_an_archive_of_other_data_says_so(tmp_path: Path, inside: str, reason: str) -> None:
    root = made(tmp_path / "photos", **{inside.replace("/", "__"): b"x"})
    answer = archives.find(packed(root, ".zip"), DEFAULTS)
    assert isinstance(answer, Rejected)
    assert reason in answer.reason


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-100-binary.tar.gz", "a.png"])
def test_what_is_read_elsewhere_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    assert archives.find(tmp_path / name, DEFAULTS) == Rejected(reason="")
    assert archives.find(tmp_path, DEFAULTS) == Rejected(reason="")


def test_very_deep_folders_in_an_archive_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("cat/1.png", "dog/1.png", "cat/" + "d/" * 5000 + "1.png"):
            archive.writestr(name, png())
    answer = found(archives.find(path, DEFAULTS))
    assert len(answer.splits["train"]) == 2
    assert any("400 folders deep" in note for note in answer.notes)


@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_the_number_of_members_is_bounded(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_tree, "MAX_MEMBERS", 2)
    root = made(tmp_path / "photos", "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    with pytest.raises(UnsafeError, match="more than 2 members"):
        archives.find(packed(root, kind), DEFAULTS)
