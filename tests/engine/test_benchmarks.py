"""The benchmarks give both sides the same work."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.alternating import Side, spread
from benchmarks.engine_peers import take_turns
from benchmarks.engine_vs_openvino import WORKLOADS, make_prompts
from benchmarks.random_model import NUM_SILENT, SMALL, make_floats, make_model
from benchmarks.serving_vs_llama_server import ANSWER_TOKENS, PROMPT_TOKENS, make_requests
from bise.engine.kernels.table import BLOCK
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.files import open_weights


def test_requests_are_the_same_each_time_and_share_no_beginning(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.load(make_floats(tmp_path, SMALL))
    requests = make_requests(tokenizer, 40)
    assert [r.prompt_ids for r in requests] == [r.prompt_ids for r in make_requests(tokenizer, 40)]
    assert all(PROMPT_TOKENS[0] - 4 <= len(r.prompt_ids) <= PROMPT_TOKENS[1] + 4 for r in requests)
    assert all(ANSWER_TOKENS[0] <= r.num_answer <= ANSWER_TOKENS[1] for r in requests)
    others = make_requests(tokenizer, 40, words=1)
    assert [r.num_answer for r in requests] == [r.num_answer for r in others]
    beginnings = sorted(list(r.prompt_ids[:BLOCK]) for r in (*requests, *others))
    assert all(first != second for first, second in pairwise(beginnings))


def test_the_random_model_says_nothing_that_cannot_be_sent(tmp_path: Path) -> None:
    weights = open_weights(make_model(tmp_path, SMALL))
    tokenizer = ChatTokenizer.load(tmp_path / "int4")
    head = weights.tensor("output.weight")
    silent = np.flatnonzero(~head.any(axis=1))
    np.testing.assert_array_equal(silent, np.arange(NUM_SILENT))
    assert all(tokenizer.token_bytes(token).isalpha() for token in range(NUM_SILENT, SMALL.vocab_size, 97))


def test_a_spread_is_of_what_was_measured() -> None:
    assert spread([5, 1, 2, 3, 4]) == {"median": 3, "p10": 1, "p90": 5, "n": 5}
    assert spread([7]) == {"median": 7, "p10": 7, "p90": 7, "n": 1}


def test_prompts_are_the_same_for_both_sides_and_share_no_beginning() -> None:
    for name, shape in WORKLOADS.items():
        prompts = make_prompts(name, 1)
        assert prompts == make_prompts(name, 1) != make_prompts(name, 0)
        assert [len(ids) for ids in prompts] == [shape["length"]] * shape["prompts"]
        assert len({tuple(ids[:BLOCK]) for ids in prompts}) == shape["prompts"]


def test_sides_take_turns_and_the_ratio_is_of_medians() -> None:
    quits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    ours, theirs = Side("ours", quits), Side("theirs", quits)
    values = {"ours": iter([60.0, 10.0, 20.0]), "theirs": iter([10.0, 9.0, 500.0])}
    turns: list[str] = []

    def rate(side: Side) -> float:
        turns.append(side.name)
        return next(values[side.name])

    ratio, rates = take_turns(ours, theirs, 3, rate, lambda: turns.append("between"))
    assert turns == ["ours", "theirs", "between"] * 3
    assert ratio == 2.0
    assert (rates["ours"]["median"], rates["theirs"]["p90"]) == (20, 500)
    ours.close()
    theirs.close()
