"""lm-eval scores the shipped model through our API: likelihoods are those of the engine, to the last token.

It runs in the environment that `make test-peers` makes, offline, on a task that the test writes.
"""

import json
import math
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import Server, client_key, serve

pytestmark = pytest.mark.peers

TEXTS = ["The wind comes over the lake in the morning.", "Le vent vient du lac.", "Größe und Süße, gęś 🪿."]
ROLLING = """
task: texts
dataset_path: json
dataset_kwargs: {data_files: {test: DIRECTORY/texts.jsonl}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: bits_per_byte}]
"""
CHOICES = """
task: choices
dataset_path: json
dataset_kwargs: {data_files: {test: DIRECTORY/choices.jsonl}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{label}}"
metric_list: [{metric: acc}]
"""
GENERATED = """
task: generated
dataset_path: json
dataset_kwargs: {data_files: {test: DIRECTORY/choices.jsonl}}
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "x"
generation_kwargs: {until: ["."], max_gen_toks: 12, temperature: 0}
metric_list: [{metric: exact_match}]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(log=tmp_path_factory.mktemp("lm-eval") / "serve.log") as running:
        yield running


def ask(url: str, key: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return json.load(urllib.request.urlopen(urllib.request.Request(url + path, json.dumps(body).encode(), headers)))


def bits_per_byte(url: str, key: str) -> float:
    """Our own sum over the same texts, each after the token that texts begin with."""
    nats = 0.0
    for text in TEXTS:
        ids = ask(url, key, "/tokenize", {"prompt": text, "add_special_tokens": False})["tokens"]
        (begin,) = ask(url, key, "/tokenize", {"prompt": "<s>", "add_special_tokens": False})["tokens"]
        body = {"model": "bise-demo", "prompt": [begin, *ids], "max_tokens": 0, "echo": True, "logprobs": 1}
        scores = ask(url, key, "/v1/completions", body)["choices"][0]["logprobs"]["token_logprobs"]
        assert len(scores) == len(ids) + 1
        nats -= sum(scores[1:])
    return nats / math.log(2) / sum(len(text.encode()) for text in TEXTS)


def test_its_likelihood_tasks_give_the_engines_own_figures(server: Server, tmp_path: Path) -> None:
    key = client_key()
    for name, task in (("texts", ROLLING), ("choices", CHOICES), ("generated", GENERATED)):
        (tmp_path / f"{name}.yaml").write_text(task.replace("DIRECTORY", str(tmp_path)), encoding="utf-8")
    rows = [json.dumps({"text": text}) for text in TEXTS]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows), encoding="utf-8")
    question = {"question": "The wind comes over the", "choices": [" lake.", " xq zz7."], "label": 0}
    (tmp_path / "choices.jsonl").write_text(json.dumps(question), encoding="utf-8")
    model = (
        f"model=bise-demo,base_url={server.url}/v1/completions,tokenizer_backend=remote,auth_token={key},max_length=512"
    )
    command = [os.environ["BISE_PEERS_PYTHON"], "-m", "lm_eval", "--model", "local-completions", "--model_args", model]
    command += ["--tasks", "texts,choices,generated", "--include_path", str(tmp_path), "--output_path", str(tmp_path)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    environment = os.environ | offline | {"OPENAI_API_KEY": key}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = tmp_path.rglob("results_*.json")
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert results["texts"]["bits_per_byte,none"] == pytest.approx(bits_per_byte(server.url, key), rel=1e-6)
    assert results["choices"]["acc,none"] == 1.0
    assert "exact_match,none" in results["generated"]
