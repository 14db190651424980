"""The Open Inference Protocol: tensors in, probabilities out, health that can be trusted."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from starlette.testclient import TestClient

from cifarlab.serving.app import create_app
from serving.conftest import OPTIONS, noise, tiny_classifier, wait_until_ready
from tiny import SIDE

INFER = "/v2/models/tiny/infer"


def question(images: np.ndarray, **changes) -> dict:
    tensor = {
        "name": "images",
        "shape": list(images.shape),
        "datatype": "UINT8",
        "data": images.ravel().tolist(),
    }
    return {"id": "42", "inputs": [{**tensor, **changes}]}


def test_infer_gives_the_librarys_probabilities(client, classifier):
    images = np.stack([noise(i) for i in range(5)])
    reply = client.post(INFER, json=question(images)).json()
    (output,) = reply["outputs"]
    assert (reply["model_name"], reply["id"]) == ("tiny", "42")
    assert (output["name"], output["datatype"], output["shape"]) == (
        "probabilities",
        "FP32",
        [5, 3],
    )
    probabilities = np.array(output["data"]).reshape(5, 3)
    np.testing.assert_allclose(probabilities, classifier.predict_proba(images), atol=1e-6)
    nested = client.post(INFER, json=question(images, data=images.tolist())).json()
    assert nested["outputs"] == reply["outputs"]


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"datatype": "FP32"}, 422, "this model takes UINT8"),
        ({"shape": [1, 5, 5, 3]}, 422, "this model takes UINT8"),
        ({"shape": [0, SIDE, SIDE, 3]}, 422, "this model takes UINT8"),
        ({"data": [1, 2, 3]}, 422, "its data does not fit"),
        ({"data": [256] * SIDE * SIDE * 3}, 422, "from 0 to 255"),
        ({"data": [0.5] * SIDE * SIDE * 3}, 422, "from 0 to 255"),
        ({"data": ["x"] * SIDE * SIDE * 3}, 422, "from 0 to 255"),
        ({"data": [[1], [1, 2]]}, 422, "does not fit"),
        ({"shape": [65, SIDE, SIDE, 3]}, 413, "at most 64"),
    ],
)
def test_what_does_not_fit_is_one_line(client, changes, status, said):
    answer = client.post(INFER, json=question(noise(1)[None], **changes))
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_the_model_describes_itself(client):
    facts = client.get("/v2/models/tiny").json()
    assert facts["inputs"] == [
        {"name": "images", "datatype": "UINT8", "shape": [-1, SIDE, SIDE, 3]}
    ]
    assert facts["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]
    assert client.get("/v2").json()["name"] == "cifarlab"


def test_another_models_name_is_404(client):
    for answer in (
        client.get("/v2/models/other"),
        client.get("/v2/models/other/ready"),
        client.post("/v2/models/other/infer", json=question(noise(1)[None])),
    ):
        assert answer.status_code == 404
        assert "there is 'tiny'" in answer.json()["error"]


def test_live_at_once_and_ready_when_warm():
    loaded = threading.Event()

    def load():
        loaded.wait(60)
        return tiny_classifier()

    with TestClient(create_app(OPTIONS, load)) as client:
        assert client.get("/v2/health/live").json() == {"live": True}
        for path in ("/v2/health/ready", "/v2/models/tiny/ready"):
            assert client.get(path).status_code == 503
            assert client.get(path).json() == {"ready": False}
        early = client.post(INFER, json=question(noise(1)[None]))
        assert early.status_code == 503
        assert early.headers["retry-after"]
        loaded.set()
        wait_until_ready(client)
        assert client.post(INFER, json=question(noise(1)[None])).status_code == 200


def test_not_ready_after_the_model_failed():
    class Broken:
        def __init__(self):
            self.whole, self.calls = tiny_classifier(), 0
            self.input_shape, self.class_names = self.whole.input_shape, self.whole.class_names

        def predict_proba(self, images):
            self.calls += 1
            if self.calls > 2:
                raise RuntimeError("a kernel failed")
            return self.whole.predict_proba(images)

    with TestClient(create_app(OPTIONS, Broken)) as client:
        wait_until_ready(client)
        answer = client.post(INFER, json=question(noise(1)[None]))
        assert answer.status_code == 503
        assert "failed" in answer.json()["error"]
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == 503
