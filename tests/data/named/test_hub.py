"""Datasets of the Hugging Face Hub: which of their files are downloaded, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.named.download import DownloadOptions
from cifarlab.data.named.fetching import fetch_named
from cifarlab.data.named.hub import fetch_hub
from cifarlab.errors import NetworkError, ResourceError, UsageError

pytest.importorskip("huggingface_hub")

QUIET = LoadOptions(progress=lambda _: None)
QUICK = DownloadOptions(attempts=1, silent_seconds=20, pause_seconds=0.01, allow_loopback_http=True)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """The part of the Hub that is asked, on the server of the tests."""

    def __init__(self, server) -> None:
        self.server = server
        self.revisions: dict[str, dict[str, bytes]] = {}
        server.pages = _Pages(self)

    def add(self, revision: str, *files: str) -> None:
        self.revisions[revision] = {name: b"PAR1" + name.encode() for name in files}

    def answer(self, path: str, request) -> None:
        path = path.partition("?")[0]
        if path.startswith("/api/datasets/owner/name/revision/"):
            revision = path.rpartition("/")[2].replace("%2F", "/")
            if revision in self.revisions:
                body = json.dumps(self.described(revision)).encode()
                self.server.send(request, body, Content_Type="application/json")
            else:
                self.server.send(request, b"{}", status=404, X_Error_Code="RevisionNotFound")
            return
        name = path.removeprefix(f"/datasets/owner/name/resolve/{COMMIT}/")
        for files in self.revisions.values():
            if name in files:
                self.server.send(request, files[name])
                return
        self.server.send(request, b"{}", status=404, X_Error_Code="RepoNotFound")

    def described(self, revision: str) -> dict:
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "blobId": "0" * 40,
                "lfs": {
                    "size": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "pointerSize": 130,
                },
            }
            for name, data in self.revisions[revision].items()
        ]
        card = {"license": "mit"}
        return {"id": "owner/name", "sha": COMMIT, "siblings": siblings, "cardData": card}


class _Pages(dict):
    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def __missing__(self, path: str):
        return lambda request: self.hub.answer(path, request)


@pytest.fixture
def hub(server) -> Hub:
    return Hub(server)


def brought(hub: Hub, spec: str = "hf:owner/name", options: LoadOptions = QUIET) -> Path:
    return fetch_hub(spec, options, download_options=QUICK, endpoint=hub.server.url)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_converted_branch_gives_files_named_after_their_splits(hub):
    hub.add(
        "refs/convert/parquet",
        *(f"default/{s}/{i:04d}.parquet" for s in ("train", "test") for i in (0, 1)),
    )
    hub.add("main", "script.py")
    said: list[str] = []
    folder = brought(hub, options=LoadOptions(progress=said.append))
    assert names(folder) == [
        "test-00000-of-00002.parquet",
        "test-00001-of-00002.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert (folder / "test-00001-of-00002.parquet").read_bytes() == b"PAR1default/test/0001.parquet"
    assert any("licence: mit" in line for line in said)


def test_it_is_fetched_once_and_then_offline(hub):
    hub.add("refs/convert/parquet", "default/train/0000.parquet")
    hub.add("main", "README.md")
    folder = brought(hub)
    seen = len(hub.server.seen)
    assert brought(hub) == folder
    assert fetch_named("hf:owner/name", LoadOptions(offline=True)) == folder
    assert len(hub.server.seen) == seen


def test_without_a_converted_branch_the_datasets_own_files_are_taken(hub):
    hub.add("main", "data/train-00000-of-00001-abc.parquet", "data/test-00000-of-00001-def.parquet")
    assert names(brought(hub)) == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]


def test_a_partly_converted_dataset_is_not_taken_for_the_whole(hub):
    hub.add("refs/convert/parquet", "default/partial-train/0000.parquet")
    hub.add("main", "data/train-00000-of-00001.parquet")
    folder = brought(hub)
    assert (folder / "train-00000-of-00001.parquet").read_bytes().startswith(b"PAR1data/train")


def test_several_configurations_are_named_and_one_is_chosen(hub):
    hub.add("refs/convert/parquet", "full/train/0000.parquet", "small/train/0000.parquet")
    hub.add("main", "README.md")
    with pytest.raises(UsageError, match=r"full, small; say which, such as hf:owner/name/full"):
        brought(hub)
    folder = brought(hub, "hf:owner/name/small")
    assert (folder / names(folder)[0]).read_bytes() == b"PAR1small/train/0000.parquet"
    with pytest.raises(UsageError, match="full, small"):
        brought(hub, "hf:owner/name/other")


def test_no_such_dataset_or_none_in_parquet(hub):
    with pytest.raises(NetworkError, match="no such dataset"):
        brought(hub)
    hub.add("main", "images.tar")
    with pytest.raises(NetworkError, match="not all of it, as Parquet"):
        brought(hub)


def test_changed_content_is_refused_and_not_kept(hub, own_cache):
    hub.add("refs/convert/parquet", "default/train/0000.parquet")
    hub.add("main", "README.md")
    path = f"/datasets/owner/name/resolve/{COMMIT}/default/train/0000.parquet"
    hub.server.pages[path] = lambda request: hub.server.send(request, b"PAR1 other")
    with pytest.raises(NetworkError, match=r"wrong content|longer than"):
        brought(hub)
    assert not list((own_cache / "named").glob("*"))


def test_what_is_too_large_is_refused_before_the_download(hub, monkeypatch):
    monkeypatch.setattr("cifarlab.data.named.hub.MAX_BYTES", 10)
    hub.add("refs/convert/parquet", "default/train/0000.parquet")
    hub.add("main", "README.md")
    with pytest.raises(ResourceError, match="at most 10 are downloaded"):
        brought(hub)


def test_a_hub_that_fails_or_is_not_there(hub):
    hub.answer = lambda _path, request: hub.server.send(request, b"", status=403)
    with pytest.raises(NetworkError, match="Hub answered 403"):
        brought(hub)
    hub.server.http.shutdown()
    hub.server.http.server_close()
    with pytest.raises(NetworkError, match="cannot be reached"):
        brought(hub)


@pytest.mark.parametrize(
    "spec", ["hf:", "hf:name", "hf:a/b/c/d", "hf:../b", "hf:a/b;c", "hf:a b/c"]
)
def test_other_spellings_are_refused(spec):
    with pytest.raises(UsageError, match="write hf:OWNER/NAME"):
        fetch_hub(spec, QUIET)


def test_without_the_extra_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"extra 'hub'.*pip install"):
        fetch_hub("hf:owner/name", QUIET)


def test_offline_without_a_copy():
    with pytest.raises(NetworkError, match="downloads are off"):
        fetch_hub("hf:owner/name", LoadOptions(offline=True))
