"""The benchmarks give both sides the same work."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.alternating import spread
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
    beginnings = sorted(list(r.prompt_ids[:BLOCK]) for r in requests)
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
