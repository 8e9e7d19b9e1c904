"""The tekken file: what mistral-common asks of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistral_common.protocol.fim.request import FIMRequest
from mistral_common.tokens.tokenizers.base import SpecialTokens
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.tekken import CONTROL_TOKENS, FIM_MARKER

text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)


def test_the_file_is_compact_and_every_entry_has_exactly_three_keys(tekken_path: Path, tokens: list[bytes]) -> None:
    table = json.loads(tekken_path.read_text(encoding="utf-8"))
    assert {tuple(sorted(entry)) for entry in table["vocab"]} == {("rank", "token_bytes", "token_str")}
    assert tekken_path.stat().st_size < 100 * len(tokens)


def test_control_tokens_have_the_ids_of_the_official_files() -> None:
    official = {entry["token_str"]: entry["rank"] for entry in Tekkenizer.DEPRECATED_SPECIAL_TOKENS}
    ours = {name: rank for rank, name in enumerate(CONTROL_TOKENS)}
    assert official.items() <= ours.items()
    assert {SpecialTokens.args, SpecialTokens.call_id, SpecialTokens.begin_think, SpecialTokens.end_think} <= set(ours)


@given(following=text)
def test_the_fim_marker_is_two_tokens_whatever_follows(tokenizer: ChatTokenizer, following: str) -> None:
    ids = tokenizer.encode(FIM_MARKER + following)
    assert tokenizer.decode(ids[:2]) == FIM_MARKER
    assert ids[2:] == tokenizer.encode(following)


@pytest.mark.parametrize("suffix", ["\n    return x", "C is warm", "☺", "été", "\ufe0f"])
def test_fim_keeps_prefix_and_suffix_whole(tekken_path: Path, tokenizer: ChatTokenizer, suffix: str) -> None:
    request = FIMRequest(prompt="def f(x):", suffix=suffix)
    ids = MistralTokenizer.from_file(tekken_path).encode_fim(request).tokens
    named = [CONTROL_TOKENS.index(name) for name in ("<s>", "[SUFFIX]", "[PREFIX]")]
    assert ids == [*named[:2], *tokenizer.encode(suffix), named[2], *tokenizer.encode("def f(x):")]
