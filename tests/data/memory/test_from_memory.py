"""What people have in memory, of whatever library, is a dataset."""

from __future__ import annotations

import io
import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from cifarlab.data.dataset import Dataset
from cifarlab.data.memory.from_memory import dataset_from, is_in_memory
from cifarlab.errors import InputError, ResourceError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:.*no test images", "ignore:.*are read")


def images(count: int = 30, *shape: int, seed: int = 0) -> np.ndarray:
    shape = shape or (16, 16, 3)
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def labels(count: int = 30) -> np.ndarray:
    return np.arange(count) % 3


X, Y = images(), labels()
XV, YV = images(6, seed=1), labels(6)
XT, YT = images(9, seed=2), labels(9)


def sizes(data: Dataset) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


def pixels_of(data: Dataset) -> set[bytes]:
    parts = (data.train, data.validation, data.test)
    return {image.tobytes() for part in parts for image in part.images}


EXPECTED = {image.tobytes() for image in X}


class Frame:
    """What TensorFlow's datasets have: elements one after another, as arrays."""

    def __init__(self, items, count=30):
        self.items, self.count = items, count

    def as_numpy_iterator(self):
        return iter(self.items)

    def cardinality(self):
        return torch.tensor(self.count)


class ClassLabel:
    def __init__(self, names):
        self.names = names


class ImageFeature:
    pass


ImageFeature.__name__ = "Image"


class HuggingFace:
    """What the ``datasets`` library has."""

    def __init__(self, x, y, names=("a", "b", "c"), image="image", label="label"):
        self.features = {"id": object(), image: ImageFeature(), label: ClassLabel(list(names))}
        self.column_names = list(self.features)
        self.rows = [
            {"id": i, image: Image.fromarray(a), label: int(b)}
            for i, (a, b) in enumerate(zip(x, y, strict=True))
        ]

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Stream(IterableDataset):
    def __iter__(self):
        return zip(torch.tensor(X), torch.tensor(Y), strict=True)


class Endless:
    """A sequence that never raises IndexError, as a PyTorch dataset need not."""

    def __len__(self):
        return 30

    def __getitem__(self, index):
        return X[index % 30], int(Y[index % 30])


CHW = torch.tensor(X.transpose(0, 3, 1, 2))
TENSORS = TensorDataset(CHW, torch.tensor(Y))


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        [X, Y],
        (X, Y.tolist()),
        (list(X), list(Y)),
        ([Image.fromarray(image) for image in X], Y),
        {"x": X, "y": Y},
        {"image": X, "label": Y},
        {"images": list(X), "labels": Y.tolist()},
        list(zip(X, Y, strict=True)),
        [(image, np.eye(3)[label]) for image, label in zip(X, Y, strict=True)],
        [{"image": image, "label": label} for image, label in zip(X, Y, strict=True)],
        [[image, int(label)] for image, label in zip(X, Y, strict=True)],
        TENSORS,
        Endless(),
        Stream(),
        DataLoader(TENSORS, batch_size=7),
        DataLoader(TENSORS, batch_size=7, shuffle=True),
        DataLoader(TENSORS, batch_size=7, shuffle=True, drop_last=True),
        Subset(TENSORS, range(30)),
        (CHW, torch.tensor(Y)),
        (CHW.float().div(255).requires_grad_(), torch.tensor(Y)),
        Frame(list(zip(X, Y, strict=True))),
        Frame([(X[i : i + 7], Y[i : i + 7]) for i in range(0, 30, 7)]),
        Frame([{"image": a, "label": b, "id": 3} for a, b in zip(X, Y, strict=True)]),
        Frame(list(zip(X, np.eye(3)[Y], strict=True))),
        HuggingFace(X, Y),
        HuggingFace(X, Y, image="pixels_of_it", label="fine"),
    ],
)
def test_one_split_in_any_form(data):
    assert is_in_memory(data)
    read = dataset_from(data)
    assert sizes(read) == (24, 3, 3)
    assert pixels_of(read) == EXPECTED
    by_content = {image.tobytes(): label for image, label in zip(X, Y, strict=True)}
    for part in (read.train, read.validation, read.test):
        assert [by_content[image.tobytes()] for image in part.images] == part.labels.tolist()


@pytest.mark.parametrize(
    "data",
    [
        ((X, Y), (XV, YV), (XT, YT)),
        [(X, Y), (XV, YV), (XT, YT)],
        ((list(X), list(Y)), (list(XV), list(YV)), (XT, YT)),
        {"train": (X, Y), "validation": (XV, YV), "test": (XT, YT)},
        {"train": {"x": X, "y": Y}, "val": {"x": XV, "y": YV}, "test": {"x": XT, "y": YT}},
        {"x_train": X, "y_train": Y, "x_val": XV, "y_val": YV, "x_test": XT, "y_test": YT},
        (list(zip(X, Y, strict=True)), list(zip(XV, YV, strict=True)), (XT, YT)),
        (
            TENSORS,
            TensorDataset(torch.tensor(XV.transpose(0, 3, 1, 2)), torch.tensor(YV)),
            DataLoader(
                TensorDataset(torch.tensor(XT.transpose(0, 3, 1, 2)), torch.tensor(YT)),
                batch_size=4,
            ),
        ),
        {"train": HuggingFace(X, Y), "valid": HuggingFace(XV, YV), "test": HuggingFace(XT, YT)},
    ],
)
def test_three_splits_in_any_form(data):
    read = dataset_from(data)
    assert sizes(read) == (30, 6, 9)
    assert (read.train.images == X).all()
    assert (read.validation.images == XV).all()
    assert (read.test.labels == YT).all()


def test_two_pairs_are_training_and_validation():
    read = dataset_from(((X, Y), (XV, YV)))
    assert len(read.validation) == 6
    assert (read.validation.images == XV).all()


def test_two_images_with_labels_are_no_two_splits():
    for pair in ([(X[0], 0), (X[1], 1)], [(X[0], "a"), (X[1], "b")]):
        with pytest.raises(InputError, match="no class has an image to spare"):
            dataset_from(pair)


def test_splits_may_be_given_by_name():
    read = dataset_from(
        (X, Y), validation=(XV, YV), test=TensorDataset(torch.tensor(XT), torch.tensor(YT))
    )
    assert sizes(read) == (30, 6, 9)
    with pytest.raises(UsageError, match="given twice"):
        dataset_from(((X, Y), (XV, YV)), validation=(XV, YV))


def test_other_splits_are_left_out_and_said():
    with pytest.warns(UserWarning, match="left out extra"):
        read = dataset_from({"train": (X, Y), "test": (XT, YT), "extra": (XV, YV)})
    assert len(read.test) == 9


def test_hugging_face_class_names():
    assert dataset_from(HuggingFace(X, Y)).class_names == ("a", "b", "c")
    names = ("x", "y", "z")
    assert dataset_from(HuggingFace(X, Y), class_names=names).class_names == names
    with pytest.raises(InputError, match="test: its class names are not those of train"):
        dataset_from(
            {"train": HuggingFace(X, Y), "test": HuggingFace(XT, YT, names=("c", "b", "a"))}
        )


def test_torchvision_class_names_also_of_a_subset_or_a_loader():
    class Folder(TensorDataset):
        classes = ("cat", "dog", "owl")

    folder = Folder(CHW, torch.tensor(Y))
    for source in (folder, Subset(folder, range(30)), DataLoader(folder, batch_size=4)):
        assert dataset_from(source).class_names == ("cat", "dog", "owl")


def test_grey_images_in_batches_of_three_axes():
    grey = images(30, 16, 16)
    batches = [(grey[i : i + 7], Y[i : i + 7]) for i in range(0, 30, 7)]
    assert dataset_from(Frame(batches)).train.images.shape == (24, 16, 16, 1)
    assert dataset_from(Frame(list(zip(grey, Y, strict=True)))).train.images.shape[0] == 24
    # The last batch has as many images as coloured ones have channels.
    batches = [(grey[i : i + 9], Y[i : i + 9]) for i in range(0, 30, 9)]
    assert len(batches[-1][1]) == 3
    assert len(dataset_from(Frame(batches)).train) == 24
    batches = [(grey[i : i + 3], Y[i : i + 3]) for i in range(0, 30, 3)]
    assert dataset_from(Frame(batches)).train.images.shape == (24, 16, 16, 1)
    # As many pixels in height as images in the batch.
    batches = [(grey[i : i + 15], Y[i : i + 15]) for i in (0, 15)]
    assert len(dataset_from(Frame(batches)).train) == 24


def test_a_shuffling_loader_gives_the_same_splits_each_time():
    loader = DataLoader(TENSORS, batch_size=4, shuffle=True)
    first, second = dataset_from(loader), dataset_from(loader)
    assert (first.validation.images == second.validation.images).all()


def test_a_loader_that_drops_images_is_said():
    with pytest.warns(UserWarning, match="drops its last batch"):
        assert sum(sizes(dataset_from(DataLoader(TENSORS, batch_size=7, drop_last=True)))) == 28


def test_paths_and_bytes_of_image_files_are_read(tmp_path):
    paths = []
    for index, pixels in enumerate(X):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(paths[-1])
    for form in (paths, [str(p) for p in paths], [p.read_bytes() for p in paths]):
        assert pixels_of(dataset_from((form, Y))) == EXPECTED
        assert pixels_of(dataset_from(list(zip(form, Y, strict=True)))) == EXPECTED


@pytest.mark.parametrize("mode", ["P", "PA", "RGBA", "RGBa", "LA", "1", "CMYK", "LAB", "L", "I;16"])
def test_pillow_images_of_any_mode(mode):
    source = [Image.fromarray(image) for image in X]
    if mode == "I;16":
        source = [Image.fromarray(image[..., 0].astype(np.uint16) * 257) for image in X]
    else:
        step = {"PA": "P", "RGBa": "RGBA"}.get(mode, mode)
        source = [image.convert(step).convert(mode) for image in source]
    data = dataset_from((source, Y))
    assert data.train.images.shape[1:3] == (16, 16)
    assert data.train.images.max() > 200


def test_transparent_pixels_are_white_as_in_files():
    clear = [Image.new("RGBA", (16, 16), (0, 0, i, 0 if i else 255)) for i in range(30)]
    file = io.BytesIO()
    clear[1].save(file, "PNG")
    data = dataset_from((clear, Y), validation=(clear[:3], Y[:3]), test=(clear[:3], Y[:3]))
    assert (data.train.images[1] == 255).all()
    assert (data.train.images[0] == 0).all()


def test_opened_photographs_are_turned_upright_as_files_are(tmp_path):
    path = tmp_path / "a.jpg"
    lying = Image.fromarray(images(1, 16, 16, 3)[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(path, exif=exif)
    kept = {"validation": (X[:3], Y[:3]), "test": (X[:3], Y[:3])}
    opened = dataset_from(([Image.open(path)] * 30, Y), **kept)
    assert (opened.train.images == dataset_from(([path] * 30, Y), **kept).train.images).all()


def test_an_opened_file_that_is_damaged_is_refused_in_one_line(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(images(1, 200, 200, 3)[0]).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with Image.open(path) as opened, pytest.raises(InputError, match="cannot be decoded"):
        dataset_from(([opened] * 30, Y))


def test_grey_and_coloured_images_together_become_coloured_and_say_so():
    mixed = [image if i % 2 else image[..., 0] for i, image in enumerate(X)]
    with pytest.warns(UserWarning, match="all are read as coloured"):
        assert dataset_from((mixed, Y)).train.images.shape == (24, 16, 16, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (X, "no labels; give the pair"),
        ((X, Y, np.ones(30)), "no labels; give the pair"),
        (np.float64(3), "no source|no labels"),
        (dict, "this type is no source"),
        ([1, 2, 3, 4], "gives int"),
        ([], "gives no images"),
        (iter(()), "used up"),
        (7, "int is no source"),
        ([(X[0], 0, 1)] * 4, "tuple of 3"),
        ([(X[0], 0), (X[1][:8], 1)] * 4, "different sizes"),
        (Frame([], -1), r"leave out \.repeat"),
        ({"x": X}, "holds x"),
        ({"a": X, "b": Y}, "holds a, b"),
    ],
)
def test_what_is_no_source_of_images_is_refused_in_one_line(data, reason):
    with pytest.raises(InputError, match=reason) as caught:
        dataset_from(data)
    assert "\n" not in str(caught.value)


def test_a_mapping_of_splits_needs_train():
    with pytest.raises(UsageError, match="must be called train"):
        dataset_from({"test": (X, Y), "val": (XV, YV)})


def test_an_iterable_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr("cifarlab.data.memory.iterables.MAX_IMAGES", 100)
    with pytest.raises(ResourceError, match=r"101 images .*no end"):
        dataset_from(itertools.cycle(zip(X, Y, strict=True)))


def test_an_opened_npz_file(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=XT, y_test=YT)
    with np.load(tmp_path / "a.npz") as file:
        assert sizes(dataset_from(file)) == (27, 3, 9)
    np.savez(tmp_path / "b.npz", images=X, labels=np.array([None] * 30))
    with np.load(tmp_path / "b.npz") as file, pytest.raises(InputError, match="cannot be read"):
        dataset_from(file)


def test_scikit_learns_digits_as_they_are_loaded():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    data = dataset_from((digits.images, digits.target), value_range=(0, 16))
    assert data.train.images.shape[1:] == (8, 8, 1)
    with pytest.raises(InputError, match=r"data and images may be .*the pair \(x, y\)"):
        dataset_from(digits)


def test_names_and_paths_are_not_in_memory():
    data = dataset_from((X, Y))
    for other in ("mnist", Path("photos"), None, data):
        assert not is_in_memory(other)
    assert dataset_from(data) is data


def test_no_library_is_imported_to_find_out():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np, warnings\nwarnings.simplefilter('ignore')\n"
        "from cifarlab.data.memory.from_memory import dataset_from\n"
        "dataset_from((np.arange(30 * 64, dtype=np.uint16).reshape(30, 8, 8), np.arange(30) % 3))\n"
        "assert not {'torch', 'keras', 'tensorflow', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_is_said_once():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        x, xv, xt = (part.transpose(0, 3, 1, 2) / 255 for part in (X, XV, XT))
        dataset_from(((x, Y), (xv, YV), (xt, YT)))
    assert [str(warning.message).split(" ")[0] for warning in seen] == ["train", "train"]


def test_a_part_of_a_dataset_that_a_loader_draws_is_the_part():
    from torch.utils.data import RandomSampler

    loader = DataLoader(TENSORS, batch_size=4, sampler=RandomSampler(TENSORS, num_samples=20))
    with pytest.warns(UserWarning, match="order of its RandomSampler"):
        assert sum(sizes(dataset_from(loader))) == 20


def test_a_loader_of_a_stream_has_nothing_to_say_of_its_order():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*no test images")
        assert sum(sizes(dataset_from(DataLoader(Stream(), batch_size=7)))) == 30


def test_arrays_in_a_file_are_read_once(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = X, Y
        reads = []

        class Counted:
            def __init__(self, stored):
                self.stored, self.dtype = stored, stored.dtype
                self.ndim, self.shape = stored.ndim, stored.shape

            def __len__(self):
                return len(self.stored)

            def __array__(self, dtype=None, copy=None):
                reads.append(self.stored.name)
                return self.stored[()]

        assert pixels_of(dataset_from((Counted(file["x"]), Counted(file["y"])))) == EXPECTED
        assert reads.count("/x") == 1
