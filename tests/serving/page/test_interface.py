"""What the page says: a file in, HTML out; no browser."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarlab.classifier import Classifier
from cifarlab.data.image import decode_image
from cifarlab.data.image_format import RESIZE_MODES
from cifarlab.errors import CifarlabError
from cifarlab.evaluation.metrics import Metrics
from cifarlab.exporting import about
from cifarlab.exporting.parity import comparison_images
from cifarlab.runs.directory import read_json
from cifarlab.serving.page.answer import explain_file
from cifarlab.serving.page.gallery import EVERY_CLASS, Gallery, find_gallery
from cifarlab.serving.page.interface import (
    AS_TRAINED,
    RESIZE_CHOICES,
    PageContext,
    answer_test_image,
    answer_upload,
    build_page,
    show_test_images,
)
from cifarlab.serving.page.view import about_html, answer_html, grid_html, matrix_html
from serving.page.steps import noise, png
from shaped import CASES, NAMES, shaped_classifier

pytest_plugins = ["serving.page.fixtures"]


@pytest.fixture
def context(brightness_run: Path) -> PageContext:
    classifier = Classifier.load(brightness_run)
    return PageContext(
        name="brightness",
        model=brightness_run,
        classifier=lambda: classifier,
        lock=threading.Lock(),
    )


def uploaded(directory: Path, content: bytes, name: str = "image.png") -> dict[str, Any]:
    file = directory / "blob"
    file.write_bytes(content)
    return {"path": str(file), "orig_name": name}


def gallery_of(context: PageContext) -> Gallery:
    gallery = find_gallery(context.model, context.classifier, context.lock)
    assert gallery is not None
    return gallery


def test_the_page_sees_the_pixels_of_the_library(context: PageContext) -> None:
    content = png(noise(2, 7, height=40, width=60))
    for mode in ("squash", "crop", "pad"):
        explained = explain_file(context.classifier(), context.lock, content, "a.png", mode)
        expected = decode_image(content, name="a.png", size=32, resize_mode=mode)
        assert np.array_equal(explained.image, expected)
        predictions = context.classifier().predict(expected)
        assert np.array_equal(explained.predictions.probabilities, predictions.probabilities)


def test_an_upload_is_answered_with_class_bars_and_saliency(
    context: PageContext, tmp_path: Path
) -> None:
    said = answer_upload(context, uploaded(tmp_path, png(noise(0, 3))), "squash")
    assert 'class="verdict">dark<' in said or "Perhaps dark" in said
    assert said.count("<li>") == 3
    assert 'class="seen"' in said
    assert 'class="saliency"' in said
    assert not context.lock.locked()


def test_the_choice_of_the_page_is_the_models_own_until_the_visitor_makes_another(
    context: PageContext, tmp_path: Path
) -> None:
    content = png(noise(2, 7, height=40, width=60))
    said = {
        mode: answer_upload(context, uploaded(tmp_path, content), mode)
        for _, mode in RESIZE_CHOICES
    }
    assert set(said) == {AS_TRAINED, *RESIZE_MODES}
    for mode in RESIZE_MODES:
        trained = replace(context.classifier(), resize_mode=mode)
        changed = replace(context, classifier=lambda trained=trained: trained)
        assert answer_upload(changed, uploaded(tmp_path, content), AS_TRAINED) == said[mode]
    assert "32x32 pixels; other shapes are stretched" in said["squash"]
    assert "32x32 pixels; other shapes are cut" in said["crop"]
    assert "32x32 pixels; other shapes get black bars" in said["pad"]


@pytest.mark.parametrize("case", CASES)
def test_any_input_is_shown_as_it_is_and_explained(tmp_path: Path, case: str) -> None:
    classifier = shaped_classifier(CASES[case].image_format, tmp_path)
    height, width, channels = classifier.input_shape
    explained = explain_file(classifier, threading.Lock(), CASES[case].content, "a.png")
    assert explained.image.shape == (height, width, channels)
    longer, shorter = max(explained.saliency.shape[:2]), min(explained.saliency.shape[:2])
    assert longer == 256
    assert shorter == round(256 * min(height, width) / max(height, width))
    said = answer_html(explained)
    assert (", grey" in said) == (channels == 1)
    assert ("pixels wide" in said) == (height != width)
    pixels = comparison_images((height, width), 2, channels)
    grid = grid_html(pixels, np.array([0, 1]), np.array([0, 0]), np.arange(2), NAMES)
    assert grid.count("data:image/webp") == 2


def test_no_file_is_no_error(context: PageContext) -> None:
    assert "problem" not in answer_upload(context, None, "squash")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Just words.", "not an image that can be read"),
        (b"", "the file is empty"),
        (png(noise(1, 1))[:-60], "damaged or truncated"),
    ],
)
def test_a_bad_file_is_named_in_one_line(
    context: PageContext, tmp_path: Path, content: bytes, words: str
) -> None:
    said = answer_upload(context, uploaded(tmp_path, content, "<b>notes</b>.png"), "squash")
    assert 'role="alert"' in said
    assert words in said
    assert "&lt;b&gt;notes&lt;/b&gt;.png" in said
    assert "<b>" not in said


def test_an_upload_that_has_been_removed_is_explained(context: PageContext) -> None:
    gone = {"path": "/nowhere/at/all", "orig_name": "old.png"}
    assert "old.png: no longer on the server" in answer_upload(context, gone, "squash")


def test_a_resize_mode_of_the_visitors_own_is_refused(context: PageContext, tmp_path: Path) -> None:
    said = answer_upload(context, uploaded(tmp_path, png(noise(1, 1))), "melt")
    assert "choose one of squash, crop, pad" in said


def test_a_model_that_is_not_ready_says_so(context: PageContext, tmp_path: Path) -> None:
    def warming() -> Classifier:
        raise CifarlabError("the model is not ready; try again")

    said = answer_upload(
        replace(context, classifier=warming), uploaded(tmp_path, png(noise(1, 1))), "squash"
    )
    assert "not ready" in said


def test_low_confidence_is_not_sure(context: PageContext) -> None:
    classifier = replace(context.classifier(), not_sure_below=1.1)
    explained = explain_file(classifier, context.lock, png(noise(1, 1)), "a.png", "squash")
    assert "Not sure" in answer_html(explained)
    known = replace(explained, sure=True)
    assert "Not sure" not in answer_html(known)


def test_the_truth_is_told_where_it_is_known(context: PageContext) -> None:
    gallery = gallery_of(context)
    said = answer_test_image(context, gallery, 0)
    name = gallery.class_names[gallery.test.labels[0]]
    assert f"The label says {name}" in said
    assert "no test image 9999" in answer_test_image(context, gallery, 9999)
    assert 'role="alert"' in answer_test_image(context, gallery, -1)


def test_the_gallery_reads_what_the_run_has_predicted(context: PageContext) -> None:
    def nobody() -> Classifier:
        raise AssertionError("must not predict again")

    gallery = find_gallery(context.model, nobody, context.lock)
    assert gallery is not None
    expected = context.classifier().predict_split(gallery.test).predicted
    assert np.array_equal(gallery.predicted(), expected)


def test_the_gallery_predicts_once_where_no_run_has(context: PageContext) -> None:
    known = gallery_of(context)
    asked = []

    def classifier() -> Classifier:
        asked.append(1)
        return context.classifier()

    gallery = Gallery(known.test, known.class_names, None, classifier, context.lock)
    assert np.array_equal(gallery.predicted(), known.predicted())
    gallery.choose(EVERY_CLASS, only_mistakes=True)
    assert len(asked) == 1


def test_the_gallery_filters_by_class_and_mistakes(context: PageContext) -> None:
    known = gallery_of(context)
    wrong = (known.test.labels + 1) % 3
    gallery = Gallery(known.test, known.class_names, wrong, context.classifier, context.lock)
    bright = gallery.choose("bright", only_mistakes=False)
    assert set(gallery.test.labels[bright]) == {known.class_names.index("bright")}
    shown = show_test_images(gallery, "bright", only_mistakes=True)
    assert shown.count("<button") == len(bright)
    assert "bright, predicted " in shown
    assert "no class is called" in show_test_images(gallery, "purple", only_mistakes=False)
    right = Gallery(
        known.test, known.class_names, known.test.labels, context.classifier, context.lock
    )
    assert "no such images" in show_test_images(right, EVERY_CLASS, only_mistakes=True)


def test_without_the_data_there_is_no_gallery(context: PageContext, tmp_path: Path) -> None:
    assert find_gallery(None, context.classifier, context.lock) is None
    assert find_gallery(tmp_path / "some.keras", context.classifier, context.lock) is None
    # The empty cache of the tests: nothing may be downloaded.
    assert find_gallery(Path("cifar10"), context.classifier, context.lock) is None


def test_the_model_introduces_itself(context: PageContext) -> None:
    assert context.model is not None
    test = Metrics.from_json(about(context.model)["test"])
    said = about_html("<me>", test)
    kept = read_json(context.model / "metrics.json")["test"]
    low, high = kept["accuracy_interval"]
    assert f"{kept['accuracy']:.2%}</b> on {kept['n']:,} images" in said
    assert f"95% interval {low:.2%} to {high:.2%}" in said
    assert "&lt;me&gt;" in said
    assert "its accuracy is not known" in about_html("other", None)
    assert matrix_html(test, "me").count("data:image/svg+xml") == 2


def test_a_page_without_record_or_data_can_be_built(context: PageContext) -> None:
    page = build_page(replace(context, model=None))
    assert "Test images" not in str(page.get_config_file())
    assert not page.analytics_enabled


def test_importing_the_page_writes_no_files(brightness_run: Path) -> None:
    import cifarlab.serving.page.interface as page

    assert brightness_run.exists()
    assert not list(Path(page.__file__).parent.glob("*.pyi"))


def test_nothing_from_outside_is_named_in_the_html(context: PageContext) -> None:
    explained = explain_file(
        context.classifier(), context.lock, png(noise(1, 1)), "a.png", "squash"
    )
    assert not re.search(r"(?:src|href)=\"(?!data:)", answer_html(explained))
