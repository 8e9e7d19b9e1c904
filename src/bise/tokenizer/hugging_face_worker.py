"""The process in which the `tokenizers` library works: it aborts on some damaged files, and expressions may not end.

It is given the tables of `hugging_face.py`, then texts to cut with control tokens found in them ("whole") or not ("plain").
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from tokenizers import Tokenizer

from bise.tokenizer.bounded import answer_requests

_MAX_MEMORY_BYTES = 2 << 30  # the largest vocabularies of open models take 0.6 GB, most of it while they are read
_FAILURES = (Exception,)  # the library raises nothing more special; when it panics, the process ends


def prepare(tables: dict[str, Any]) -> Callable[[dict[str, str]], list[list[int]]]:
    """Build the vocabulary once, with two ways to look at text before it."""
    whole = Tokenizer.from_str(json.dumps(tables["whole"]))
    cutter = Tokenizer.from_str(json.dumps(tables["cutter"]))
    plain = Tokenizer(whole.model)
    if cutter.normalizer is not None:
        plain.normalizer = cutter.normalizer
    if cutter.pre_tokenizer is not None:
        plain.pre_tokenizer = cutter.pre_tokenizer
    return partial(encode, {"whole": whole, "plain": plain})


def encode(tokenizers: dict[str, Any], request: dict[str, str]) -> list[list[int]]:
    """The ids of a text, and with "whole" where each begins in it."""
    encoding = tokenizers[request["by"]].encode(request["text"], add_special_tokens=False)
    return [encoding.ids, [start for start, _ in encoding.offsets] if request["by"] == "whole" else []]


if __name__ == "__main__":
    answer_requests(prepare, _FAILURES, _MAX_MEMORY_BYTES)
