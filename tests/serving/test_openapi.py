"""The service keeps to its own OpenAPI document, whatever is sent."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from serving.test_server import serving
from support import posix_only

OPERATIONS = (
    *("POST /predict", "POST /v2/models/{name}/infer", "GET /v2", "GET /v2/health/live"),
    *("GET /v2/health/ready", "GET /v2/models/{name}", "GET /v2/models/{name}/ready"),
)
# That bytes are an image, or as many as a shape says, is beyond what a schema can say.
BEYOND = [schemathesis.checks.positive_data_acceptance]


@pytest.fixture(scope="module")
def operations(model_file):
    with serving(model_file, "--name", "tiny") as (_, port):
        document = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
        operations = [result.ok() for result in document.get_all_operations()]
        yield {f"{one.method.upper()} {one.path}": one for one in operations}


@posix_only
def test_every_operation_is_tried(operations):
    assert set(operations) == set(OPERATIONS)


@posix_only
@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        *((operation, GenerationMode.POSITIVE) for operation in OPERATIONS),
        # The others take nothing that could be wrong.
        *((operation, GenerationMode.NEGATIVE) for operation in OPERATIONS[:2]),
    ],
)
def test_no_answer_is_an_accident(operations, operation, mode):
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operations[operation].as_strategy(generation_mode=mode))
    def keeps_to_its_document(case):
        case.call_and_validate(excluded_checks=BEYOND)

    keeps_to_its_document()
