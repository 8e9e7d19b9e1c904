"""Whatever the model, a finished answer under a grammar is one of its words, and nobody else's answer changes."""

import json
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from bise.engine.core import Engine, EngineConfig, Request, StepOutput
from bise.engine.forward import Model
from bise.engine.grammar import MOST_COMPILED, Grammars, calls_grammar, object_grammar, schema_grammar
from bise.engine.kernels.table import choose_kernels
from bise.engine.requests import MOST_GRAMMAR, Grammar
from bise.engine.sampling import SamplingParams
from bise.errors import InputError
from bise.messages import Tool
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.files import open_weights
from tests.engine.schemas import HOSTILE, real_world_like
from tests.speaking_model import write_speaking_model

PROMPT = list(range(300, 320))
FORMATS = FormatChecker(["date", "email", "ipv4", "uuid"])
TIME = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"  # RFC 3339, leap seconds too
PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 5}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = (Tool("get_weather", "", PLACE), Tool("tell_time", "", {"type": "object", "properties": {}}))


@FORMATS.checks("time")
def is_time(text: object) -> bool:
    return re.fullmatch(TIME, str(text), re.IGNORECASE) is not None


@FORMATS.checks("date-time")
def is_date_time(text: object) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\dT" + TIME, str(text), re.IGNORECASE) is not None


@dataclass
class Speaking:
    """A model of random weights that talks noise, with its vocabulary and compiled grammars."""

    model: Model
    tokenizer: ChatTokenizer
    grammars: Grammars

    def params(self, seed: int = 0, **changes: Any) -> SamplingParams:
        """Noise that now and then closes what it has opened."""
        closing = tuple((self.tokenizer.encode(text)[0], 4.0) for text in ('"', "}", "]"))
        params = SamplingParams(
            temperature=1, seed=seed, max_tokens=300, stop_ids=self.tokenizer.stop_ids, logit_bias=closing
        )
        return replace(params, **changes)

    def request(self, name: str, grammar: Grammar | None, **changes: Any) -> Request:
        return Request(name, PROMPT, self.params(**changes), grammar=grammar)

    def answer(self, *requests: Request, config: EngineConfig | None = None) -> dict[tuple[str, int], list[StepOutput]]:
        engine, outputs = Engine(self.model, config), dict[tuple[str, int], list[StepOutput]]()
        for request in requests:
            engine.add_request(request, self.grammars.matcher(request.grammar) if request.grammar else None)
        while not engine.is_idle:
            for output in engine.step():
                outputs.setdefault((output.request_id, output.index), []).append(output)
        assert engine.blocks.num_used == 0
        return outputs

    def text(self, outputs: list[StepOutput]) -> str:
        return self.tokenizer.decode([token for output in outputs for token in output.token_ids])

    def ids(self, grammar: Grammar, **changes: Any) -> tuple[list[int], str | None]:
        ((outputs),) = self.answer(self.request("x", grammar, **changes)).values()
        return [token for output in outputs for token in output.token_ids], outputs[-1].finish_reason


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaking]:
    directory: Path = write_speaking_model(tmp_path_factory.mktemp("models") / "tiny", context_length=1024)
    model = Model(open_weights(directory), choose_kernels().kernels, num_threads=1)
    tokenizer = ChatTokenizer.load(directory)
    yield Speaking(model, tokenizer, Grammars(tokenizer, model.spec.vocab_size))
    model.close()


@pytest.mark.slow
def test_every_finished_answer_is_valid(speaking: Speaking) -> None:
    schemas = real_world_like()
    assert len({json.dumps(schema) for schema in schemas}) >= 300
    requests = [speaking.request(str(i), schema_grammar(schema), seed=i) for i, schema in enumerate(schemas)]
    outputs = speaking.answer(*requests)
    finished = 0
    for index, schema in enumerate(schemas):
        answer = outputs[str(index), 0]
        assert answer[-1].finish_reason in ("stop", "length"), schema
        if answer[-1].finish_reason == "stop":
            finished += 1
            Draft202012Validator(schema, format_checker=FORMATS).validate(json.loads(speaking.text(answer)))
    assert finished >= 0.9 * len(schemas), "enough of them end, so that the law says something"


def test_what_a_schema_forces_is_not_drawn(speaking: Speaking) -> None:
    schema = {"type": "object", "properties": {"an_endless_name": {"const": "and its value"}}}
    schema |= {"required": ["an_endless_name"], "additionalProperties": False}
    ((outputs),) = speaking.answer(speaking.request("x", schema_grammar(schema))).values()
    assert speaking.text(outputs) == '{"an_endless_name": "and its value"}'
    assert len(outputs) < 4 < sum(len(output.token_ids) for output in outputs)
    ((drawn),) = speaking.answer(speaking.request("x", schema_grammar(schema), logprobs=1)).values()
    assert speaking.text(drawn) == speaking.text(outputs)
    assert all(len(output.token_ids) == len(output.logprobs) <= 1 for output in drawn), "each token has its probability"


def test_forced_tokens_are_those_of_the_tokenizer(speaking: Speaking) -> None:
    ids, reason = speaking.ids(schema_grammar({"enum": ["The wind comes over the lake in the morning"]}))
    assert (ids, reason) == (speaking.tokenizer.encode('"The wind comes over the lake in the morning"'), "stop")


class Spaced:
    """A tokenizer that puts a space before every text, as SentencePiece's do."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(" " + text)


def test_what_is_forced_has_no_space_that_a_tokenizer_adds(speaking: Speaking) -> None:
    grammars = Grammars(Spaced(speaking.tokenizer), speaking.model.spec.vocab_size)  # type: ignore[arg-type]
    matcher = grammars.matcher(schema_grammar({"const": {"wind": "Größe über the lake"}}))
    assert speaking.tokenizer.decode(matcher.jump(100)) == '{"wind": "Größe über the lake"}'
    assert matcher.is_finished


def test_max_tokens_is_the_length_and_never_passed(speaking: Speaking) -> None:
    grammar = schema_grammar(PLACE)
    whole, reason = speaking.ids(grammar)
    assert reason == "stop"
    for most in (1, 2, 5, len(whole) - 1):
        ids, reason = speaking.ids(grammar, max_tokens=most)
        assert (len(ids), reason) == (most, "length")
    assert speaking.ids(grammar, max_tokens=len(whole) + 1) == (whole, "stop")


def test_a_grammar_goes_before_bias_and_minimum_length(speaking: Speaking) -> None:
    no_brace = tuple((token, -float("inf")) for token in range(speaking.tokenizer.vocab_size) if token % 2)
    for changes in ({"logit_bias": no_brace}, {"min_tokens": 250}, {"repetition_penalty": 10.0}):
        ids, reason = speaking.ids(schema_grammar(PLACE), **changes)
        assert reason == "stop"
        Draft202012Validator(PLACE).validate(json.loads(speaking.tokenizer.decode(ids)))


def test_answers_are_the_same_in_any_company(speaking: Speaking) -> None:
    kinds = [
        schema_grammar(PLACE),
        None,
        object_grammar(),
        Grammar("regex", "[a-c]{20,30}x"),
        None,
        schema_grammar(PLACE),
    ]
    requests = [speaking.request(str(i), kind, seed=i, max_tokens=40) for i, kind in enumerate(kinds)]
    requests[0] = replace(requests[0], params=replace(requests[0].params, n=3))
    together = speaking.answer(*requests, config=EngineConfig(step_tokens=9, max_sequences=4))
    for request in requests:
        for key, outputs in speaking.answer(request).items():
            assert speaking.text(together[key]) == speaking.text(outputs)
    assert len({speaking.text(together["0", index]) for index in range(3)}) == 3


@pytest.mark.parametrize("expression", ["[0-9]{3}-[0-9]{4}", "(yes|no|maybe), (sir|madam)\\.", "ż(ó|ł){2,4}w", "a{50}"])
def test_a_regular_expression_matches_whole_answers(speaking: Speaking, expression: str) -> None:
    ids, reason = speaking.ids(Grammar("regex", expression))
    assert reason == "stop"
    assert re.fullmatch(expression, speaking.tokenizer.decode(ids))


def test_a_lark_grammar_is_kept(speaking: Speaking) -> None:
    grammar = Grammar("lark", 'start: sum "="\nsum: NUMBER ("+" NUMBER){1,3}\nNUMBER: /[1-9][0-9]{0,2}/')
    ids, reason = speaking.ids(grammar)
    assert reason == "stop"
    assert re.fullmatch(r"[1-9][0-9]{0,2}(\+[1-9][0-9]{0,2}){1,3}=", speaking.tokenizer.decode(ids))


def calls(speaking: Speaking, ids: list[int]) -> tuple[str, list[tuple[str, Any]]]:
    """The text and the calls of an answer, read by its control tokens."""
    names = [speaking.tokenizer.token_name(token) if not speaking.tokenizer.token_bytes(token) else "" for token in ids]
    starts = [place for place, name in enumerate(names) if name == "[TOOL_CALLS]"]
    found = []
    for start, end in pairwise([*starts, len(ids)]):
        middle = names.index("[ARGS]", start)
        found.append(
            (speaking.tokenizer.decode(ids[start:middle]), json.loads(speaking.tokenizer.decode(ids[middle:end])))
        )
    return speaking.tokenizer.decode(ids[: starts[0]] if starts else ids), found


def tool_grammar(speaking: Speaking, **changes: Any) -> Grammar:
    names = speaking.tokenizer.control_tokens()
    options = {"required": False, "name": None, "parallel": True, **changes}
    return calls_grammar(TOOLS, call_id=names.index("[TOOL_CALLS]"), arguments_id=names.index("[ARGS]"), **options)


@pytest.mark.parametrize("name", [None, "get_weather", "tell_time"])
@pytest.mark.parametrize("parallel", [True, False])
def test_required_calls_are_calls_with_valid_arguments(speaking: Speaking, name: str | None, parallel: bool) -> None:
    call = speaking.tokenizer.control_tokens().index("[TOOL_CALLS]")
    grammar = tool_grammar(speaking, required=True, name=name, parallel=parallel)
    seen, most = set(), 0
    for seed in range(6):
        ids, reason = speaking.ids(grammar, seed=seed, logit_bias=((call, 2.0 if seed % 2 else -50.0),))
        text, found = calls(speaking, ids) if reason == "stop" else ("", [])
        assert text == ""
        most = max(most, len(found))
        for tool, arguments in found:
            seen.add(tool)
            if tool == "get_weather":
                Draft202012Validator(PLACE).validate(arguments)
    assert seen <= ({tool.name for tool in TOOLS} if name is None else {name})
    assert most == 1 if not parallel else most >= 1


def test_calls_may_follow_text_where_none_is_required(speaking: Speaking) -> None:
    call = speaking.tokenizer.control_tokens().index("[TOOL_CALLS]")
    free = {"logit_bias": ((call, -float("inf")),), "max_tokens": 30}
    ((plain),) = speaking.answer(speaking.request("x", None, **free)).values()
    ids, reason = speaking.ids(tool_grammar(speaking), **free)
    assert speaking.text(plain) == speaking.tokenizer.decode(ids), "what comes before a call is free"
    found = []
    for seed in range(8):
        bias = ((call, 5.0), (speaking.tokenizer.encode('"')[0], 4.0))
        ids, reason = speaking.ids(tool_grammar(speaking, parallel=False), seed=seed, logit_bias=bias)
        if reason == "stop":
            found += calls(speaking, ids)[1]
    assert found
    assert all(isinstance(arguments, dict) for _, arguments in found)


@pytest.mark.parametrize(
    ("grammar", "words"),
    [
        (schema_grammar({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (schema_grammar({"not": {"type": "string"}}), '"not"'),
        (schema_grammar({"type": "string", "format": "secret"}), "format: secret"),
        (schema_grammar({"type": "text"}), "type: text"),
        (schema_grammar({"$ref": "https://example.org/other"}), r"example\.org"),
        (schema_grammar({"$ref": "#/$defs/x"}), r"\$defs/x"),
        (schema_grammar({"type": "string", "pattern": "(?=a)b"}), "look-around"),
        (schema_grammar({"type": "integer", "minimum": 3, "maximum": 2}), "minimum"),
        (Grammar("json_schema", "{"), "JSON schema"),
        (Grammar("json_schema", "[" * 5000), "JSON schema"),
        (Grammar("regex", "["), "unclosed"),
        (Grammar("lark", "start: nothing"), "nothing"),
        (Grammar("lark", ""), "grammar"),
    ],
)
def test_what_cannot_be_expressed_is_named(speaking: Speaking, grammar: Grammar, words: str) -> None:
    with pytest.raises(InputError, match=words):
        speaking.grammars.matcher(grammar)


def test_what_is_no_schema_or_too_large_is_a_sentence() -> None:
    for wrong in (False, 3, "string", [], None):
        with pytest.raises(InputError, match="must be an object"):
            schema_grammar(wrong)
    assert schema_grammar(True) == schema_grammar({})
    with pytest.raises(InputError, match="characters"):
        Grammar("regex", "a" * (MOST_GRAMMAR + 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_are_refused_or_run_to_an_end(speaking: Speaking, name: str) -> None:
    reason: str | None = "refused"
    with suppress(InputError):
        _, reason = speaking.ids(schema_grammar(HOSTILE[name]), max_tokens=60)
    assert reason in ("stop", "length", "grammar", "refused")


@pytest.mark.slow
def test_ten_thousand_different_schemas_leave_no_more_memory_than_a_thousand(speaking: Speaking) -> None:
    sizes = []
    for number in range(10_000):
        properties = {f"a{number}": {"type": "integer"}, "b": {"type": "string", "pattern": "^[a-z]{1,20}$"}}
        matcher = speaking.grammars.matcher(schema_grammar({"type": "object", "properties": properties}))
        matcher.allowed()
        if number in (999, 9_999):
            sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert len(speaking.grammars) == MOST_COMPILED
    assert sizes[1] - sizes[0] < 50_000, "kilobytes"


def test_guessing_ahead_changes_no_answer_of_a_given_form(speaking: Speaking) -> None:
    kinds = [
        schema_grammar({"type": "array", "items": {"enum": [12, 21]}, "minItems": 30, "maxItems": 40}),
        Grammar("regex", "([ab]{3}c?){30,50}"),
        tool_grammar(speaking),
    ]
    for seed, kind in enumerate(kinds):
        request = speaking.request("x", kind, seed=seed, temperature=0.2)
        ((guessed),) = speaking.answer(request).values()
        ((plain),) = speaking.answer(request, config=EngineConfig(speculation=False)).values()
        assert speaking.text(guessed) == speaking.text(plain)
        assert guessed[-1].finish_reason == plain[-1].finish_reason
