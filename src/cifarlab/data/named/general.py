"""MNIST and what followed it, SVHN, EuroSAT and Tiny ImageNet: their sources and classes.

Every checksum has beside it where it was read.
"""

from __future__ import annotations

from cifarlab.data.named.cifar import Source
from cifarlab.data.named.dataset import NamedDataset
from cifarlab.data.named.download import RemoteFile
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"

# MD5 sums of the four files each from torchvision/datasets/mnist.py.
_IDX_NAMES = tuple(
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
_MNIST_MD5 = (
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)
_FASHION_MD5 = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)
_KMNIST_MD5 = (
    "bdb82020997e1d708af4cf47b453dcf7",
    "e144d726b3acfaa3e44228e80efcd344",
    "5c965bf0a639b31b8f53240b1b52f4d7",
    "7320c461ea6c1c855c0b718fb2a4b134",
)


def _idx(name: str, base: str, sums: tuple[str, ...]) -> Source:
    files = tuple(
        RemoteFile(
            url=f"{base}/{file}", name=file, magic=GZIP, max_bytes=50_000_000, digest=f"md5:{md5}"
        )
        for file, md5 in zip(_IDX_NAMES, sums, strict=True)
    )
    return Source(name=name, files=files)


_MNIST_LIKE = {TRAIN: 60_000, TEST: 10_000}

MNIST = NamedDataset(
    name="mnist",
    title="MNIST",
    home="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document "
    "recognition, 1998",
    class_names=tuple("0123456789"),
    counts=_MNIST_LIKE,
    shape=(28, 28, 1),
    sources=(
        _idx("PyTorch's mirror", "https://ossci-datasets.s3.amazonaws.com/mnist", _MNIST_MD5),
        _idx("Google's mirror", "https://storage.googleapis.com/cvdf-datasets/mnist", _MNIST_MD5),
        Source(
            name="Keras's copy",
            files=(
                RemoteFile(
                    url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
                    name="mnist.npz",
                    magic=ZIP,
                    max_bytes=50_000_000,
                    # keras/src/datasets/mnist.py
                    digest="sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
                ),
            ),
        ),
    ),
)

FASHION_MNIST = NamedDataset(
    name="fashion_mnist",
    title="Fashion-MNIST",
    home="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    citation="Xiao, Rasul, Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    counts=_MNIST_LIKE,
    shape=(28, 28, 1),
    sources=(
        _idx(
            "Keras's copy",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            _FASHION_MD5,
        ),
        _idx(
            "the authors' repository",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            _FASHION_MD5,
        ),
    ),
)

KMNIST = NamedDataset(
    name="kmnist",
    title="Kuzushiji-MNIST",
    home="https://codh.rois.ac.jp/kmnist/",
    licence="CC BY-SA 4.0",
    citation="Clanuwat et al., Deep Learning for Classical Japanese Literature, arXiv:1812.01718, "
    "2018",
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    counts=_MNIST_LIKE,
    shape=(28, 28, 1),
    sources=(_idx("CODH", "https://codh.rois.ac.jp/kmnist/dataset/kmnist", _KMNIST_MD5),),
)

_EMNIST_ARCHIVE = Source(
    name="NIST",
    files=(
        RemoteFile(
            url="https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
            name="emnist-gzip.zip",
            magic=ZIP,
            max_bytes=700_000_000,
            # torchvision/datasets/mnist.py
            digest="md5:58c8d27c78d21e728a6bc7b3cc06412e",
        ),
    ),
)


def _emnist(part: str, class_names: str, train: int, test: int) -> NamedDataset:
    return NamedDataset(
        name=f"emnist-{part}",
        title=f"EMNIST {part}",
        home="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        licence="not stated; from NIST Special Database 19",
        citation="Cohen, Afshar, Tapson, van Schaik, EMNIST, arXiv:1702.05373, 2017",
        class_names=tuple(class_names),
        counts={TRAIN: train, TEST: test},
        shape=(28, 28, 1),
        sources=(_EMNIST_ARCHIVE,),
        members=tuple(
            f"gzip/emnist-{part}-{split}-{kind}-ubyte.gz"
            for split in ("train", "test")
            for kind in ("images-idx3", "labels-idx1")
        ),
        archive="emnist",
    )


_LOWER = "abcdefghijklmnopqrstuvwxyz"
EMNIST = (
    # Upper and lower case are one class.
    _emnist("letters", _LOWER, 124_800, 20_800),
    # Letters whose two cases look alike are one class, under the upper case.
    _emnist("balanced", f"0123456789{_LOWER.upper()}abdefghnqrt", 112_800, 18_800),
    _emnist("digits", "0123456789", 240_000, 40_000),
)

SVHN = NamedDataset(
    name="svhn",
    title="Street View House Numbers, cropped digits",
    home="http://ufldl.stanford.edu/housenumbers/",
    licence="for non-commercial use only",
    citation="Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, "
    "2011",
    class_names=tuple("0123456789"),
    counts={TRAIN: 73_257, TEST: 26_032},
    shape=(32, 32, 3),
    sources=(
        Source(
            name="Stanford",
            files=tuple(
                RemoteFile(
                    url=f"https://ufldl.stanford.edu/housenumbers/{part}_32x32.mat",
                    name=f"{part}_32x32.mat",
                    magic=b"MATLAB 5.0 MAT-file",
                    max_bytes=250_000_000,
                    digest=f"md5:{md5}",
                )
                # torchvision/datasets/svhn.py
                for part, md5 in (
                    ("train", "e26dedcc434d2e4c54c9b2d4a06d8373"),
                    ("test", "eb5a983be6a315427106f1b164d9cef3"),
                )
            ),
        ),
        Source(
            name="Hugging Face",
            files=tuple(
                RemoteFile(
                    url="https://huggingface.co/datasets/ufldl-stanford/svhn/resolve/main/"
                    f"cropped_digits/{part}-00000-of-00001.parquet",
                    name=f"{part}-00000-of-00001.parquet",
                    magic=b"PAR1",
                    max_bytes=500_000_000,
                )
                for part in ("train", "test")
            ),
        ),
    ),
)

EUROSAT = NamedDataset(
    name="eurosat",
    title="EuroSAT, RGB",
    home="https://github.com/phelber/EuroSAT",
    licence="MIT",
    citation="Helber, Bischke, Dengel, Borth, EuroSAT, arXiv:1709.00029, 2017",
    class_names=(
        "AnnualCrop",
        "Forest",
        "HerbaceousVegetation",
        "Highway",
        "Industrial",
        "Pasture",
        "PermanentCrop",
        "Residential",
        "River",
        "SeaLake",
    ),
    counts={TRAIN: 27_000},
    shape=(64, 64, 3),
    sources=(
        Source(
            name="Hugging Face",
            files=(
                RemoteFile(
                    url="https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                    "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                    name="EuroSAT.zip",
                    magic=ZIP,
                    max_bytes=120_000_000,
                    # torchvision/datasets/eurosat.py
                    digest="md5:c8fa014336c82ac7804f0398fcb19387",
                ),
            ),
        ),
    ),
)

TINY_IMAGENET = NamedDataset(
    name="tiny_imagenet",
    title="Tiny ImageNet",
    home="https://cs231n.stanford.edu/",
    licence="ImageNet's terms: non-commercial research and education",
    citation="Le, Yang, Tiny ImageNet Visual Recognition Challenge, 2015",
    class_names=(),
    counts={TRAIN: 100_000, VALIDATION: 10_000},
    shape=(64, 64, 3),
    sources=(
        Source(
            name="Stanford",
            files=(
                RemoteFile(
                    url="https://cs231n.stanford.edu/tiny-imagenet-200.zip",
                    name="tiny-imagenet-200.zip",
                    magic=ZIP,
                    max_bytes=300_000_000,
                    # avalanche/benchmarks/datasets/tiny_imagenet of ContinualAI
                    digest="md5:90528d7ca1a48142e341f4ef8d21d0de",
                ),
            ),
        ),
    ),
)

GENERAL = (MNIST, FASHION_MNIST, KMNIST, *EMNIST, SVHN, EUROSAT, TINY_IMAGENET)
