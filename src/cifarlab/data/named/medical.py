"""MedMNIST's sets of flat images with one class each.

Facts and MD5 sums from medmnist/info.py of https://github.com/MedMNIST/MedMNIST; ChestMNIST is
left out, because its images show several findings, and so are the sets of volumes.
"""

from __future__ import annotations

from cifarlab.data.named.cifar import Source
from cifarlab.data.named.dataset import NamedDataset
from cifarlab.data.named.download import RemoteFile
from cifarlab.data.named.general import ZIP
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION

MAX_BYTES = 300_000_000


def _set(
    name: str,
    md5: str,
    counts: tuple[int, int, int],
    channels: int,
    class_names: tuple[str, ...],
    *,
    licence: str = "CC BY 4.0",
    notes: tuple[str, ...] = (),
) -> NamedDataset:
    return NamedDataset(
        name=name.lower(),
        title=name,
        home="https://medmnist.com/",
        licence=licence,
        citation="Yang et al., MedMNIST v2, Scientific Data 10, 2023",
        class_names=class_names,
        counts=dict(zip((TRAIN, VALIDATION, TEST), counts, strict=True)),
        shape=(28, 28, channels),
        sources=(
            Source(
                name="Zenodo",
                files=(
                    RemoteFile(
                        url=f"https://zenodo.org/records/10519652/files/{name.lower()}.npz?download=1",
                        name=f"{name.lower()}.npz",
                        magic=ZIP,
                        max_bytes=MAX_BYTES,
                        digest=f"md5:{md5}",
                    ),
                ),
            ),
        ),
        notes=notes,
    )


_ORGANS = (
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
)

MEDICAL = (
    _set(
        "PathMNIST",
        "a8b06965200029087d5bd730944a56c1",
        (89_996, 10_004, 7_180),
        3,
        (
            "adipose",
            "background",
            "debris",
            "lymphocytes",
            "mucus",
            "smooth muscle",
            "normal colon mucosa",
            "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ),
    ),
    _set(
        "DermaMNIST",
        "0744692d530f8e62ec473284d019b0c7",
        (7_007, 1_003, 2_005),
        3,
        (
            "actinic keratoses and intraepithelial carcinoma",
            "basal cell carcinoma",
            "benign keratosis-like lesions",
            "dermatofibroma",
            "melanoma",
            "melanocytic nevi",
            "vascular lesions",
        ),
        licence="CC BY-NC 4.0",
    ),
    _set(
        "OCTMNIST",
        "c68d92d5b585d8d81f7112f81e2d0842",
        (97_477, 10_832, 1_000),
        1,
        ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    ),
    _set(
        "PneumoniaMNIST",
        "28209eda62fecd6e6a2d98b1501bb15f",
        (4_708, 524, 624),
        1,
        ("normal", "pneumonia"),
    ),
    _set(
        "RetinaMNIST",
        "bd4c0672f1bba3e3a89f0e4e876791e4",
        (1_080, 120, 400),
        3,
        ("0", "1", "2", "3", "4"),
        notes=("the classes are grades in order; they are treated as classes without one",),
    ),
    _set(
        "BreastMNIST",
        "750601b1f35ba3300ea97c75c52ff8f6",
        (546, 78, 156),
        1,
        ("malignant", "normal, benign"),
    ),
    _set(
        "BloodMNIST",
        "7053d0359d879ad8a5505303e11de1dc",
        (11_959, 1_712, 3_421),
        3,
        (
            "basophil",
            "eosinophil",
            "erythroblast",
            "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
            "lymphocyte",
            "monocyte",
            "neutrophil",
            "platelet",
        ),
    ),
    _set(
        "TissueMNIST",
        "ebe78ee8b05294063de985d821c1c34b",
        (165_466, 23_640, 47_280),
        1,
        (
            "Collecting Duct, Connecting Tubule",
            "Distal Convoluted Tubule",
            "Glomerular endothelial cells",
            "Interstitial endothelial cells",
            "Leukocytes",
            "Podocytes",
            "Proximal Tubule Segments",
            "Thick Ascending Limb",
        ),
    ),
    _set(
        "OrganAMNIST",
        "68e3f8846a6bd62f0c9bf841c0d9eacc",
        (34_561, 6_491, 17_778),
        1,
        _ORGANS,
    ),
    _set(
        "OrganCMNIST",
        "b9ceb9546e10131b32923c5bbeaea2b1",
        (12_975, 2_392, 8_216),
        1,
        _ORGANS,
    ),
    _set(
        "OrganSMNIST",
        "9ab87b696fb54e2a387ebe992d6ed5f1",
        (13_932, 2_452, 8_827),
        1,
        _ORGANS,
    ),
)
