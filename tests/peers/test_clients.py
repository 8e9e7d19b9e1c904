"""Programs that people already use to talk to models, at the versions they pin themselves, against our server.

They run in the environment that `make test-peers` makes; each script asks the same question whole and streamed.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Server, client_key, serve

pytestmark = pytest.mark.peers

LITELLM = """
import json, sys
import litellm

url, key = sys.argv[1:]
ask = dict(model="openai/bise-demo", api_base=url + "/v1", api_key=key, temperature=0, max_tokens=24,
           messages=[{"role": "user", "content": "Hello!"}])
whole = litellm.completion(**ask)
parts = [chunk.choices[0].delta.content or "" for chunk in litellm.completion(**ask, stream=True)]
print(json.dumps({"whole": whole.choices[0].message.content, "streamed": "".join(parts),
                  "tokens": whole.usage.completion_tokens}))
"""

LANGCHAIN = """
import json, sys
from langchain_openai import ChatOpenAI

url, key = sys.argv[1:]
model = ChatOpenAI(model="bise-demo", base_url=url + "/v1", api_key=key, temperature=0, max_tokens=24)
whole = model.invoke("Hello!")
parts = [chunk.content for chunk in model.stream("Hello!")]
print(json.dumps({"whole": whole.content, "streamed": "".join(parts), "tokens": whole.usage_metadata["output_tokens"]}))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(log=tmp_path_factory.mktemp("peers") / "serve.log") as running:
        yield running


@pytest.mark.parametrize("script", [LITELLM, LANGCHAIN], ids=["litellm", "langchain"])
def test_what_a_client_streams_is_what_it_gets_whole(server: Server, script: str, tmp_path: Path) -> None:
    command = [os.environ["BISE_PEERS_PYTHON"], "-c", script, server.url, client_key()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["whole"].strip()
    assert answer["streamed"] == answer["whole"]
    assert 1 <= answer["tokens"] <= 24
