"""The OpenAPI document is whole, and nothing that it allows, or nearly allows, makes the real server fail."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from bise.server.openapi import BODIES
from tests.command import client_key, serve
from tests.server.conftest import Served
from tests.speaking_model import write_speaking_model

EXAMPLES = 12  # of each path, and as many that break its rules


async def test_every_path_that_takes_a_body_says_what_it_may_be(direct: Served) -> None:
    document = (await direct.client.get("/openapi.json")).json()
    assert set(BODIES) <= set(document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert ("requestBody" in operation) == (method == "post"), path
            assert operation["description"], path
    schemas = document["components"]["schemas"]
    assert schemas["ChatBody"]["properties"]["messages"]["maxItems"] == 4096
    assert (await direct.client.get("/openapi.json", headers={"authorization": ""})).status_code == 401


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    directory = tmp_path_factory.mktemp("document")
    model = write_speaking_model(directory / "tiny", context_length=128)
    with serve("--model", model, log=directory / "serve.log") as server:
        headers = {"authorization": f"Bearer {client_key()}"}
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=headers), headers
        assert httpx.get(f"{server.url}/health").status_code == 200  # after all of it


@pytest.mark.slow
@pytest.mark.parametrize("path", [*BODIES, "/v1/models/{model_id}", "/tokenizer_info"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_nothing_makes_the_server_fail(document: tuple[Any, dict[str, str]], path: str, mode: GenerationMode) -> None:
    schema, headers = document
    operation = schema[path]["POST" if path in BODIES else "GET"]
    if mode is GenerationMode.NEGATIVE and path not in BODIES:
        return  # a text cannot break the rule of being one

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = "tiny"  # a name at random only tests that there is no such model
        if case.path_parameters and "deployment" in case.path_parameters:
            case.path_parameters["deployment"] = "tiny"
        response = case.call(headers=headers, timeout=60)
        assert response.status_code < 500, (case.body, response.text)
        assert response.status_code == 200 or response.json()["error"]["message"]

    check()
