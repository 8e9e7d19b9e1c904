"""Adapters in the engine: loaded by the first request, used by it alone, and gone when room is wanted, never before."""

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.engine.adapters import AdapterPool, HeldAdapter
from bise.engine.arrivals import Arrivals, Loaded
from bise.engine.batch import PackedAdapter
from bise.engine.core import Engine, EngineConfig, Request
from bise.engine.forward import Model
from bise.engine.kernels.table import choose_kernels
from bise.engine.requests import AdapterRef, Constraint, Grammar
from bise.engine.sampling import SamplingParams
from bise.errors import BiseError, InputError
from bise.weights.adapters import open_adapter
from bise.weights.files import open_weights
from tests.random_adapters import write_adapter
from tests.random_models import TINY, write_model

PROMPT = np.random.default_rng(0).integers(0, TINY.vocab_size, 40).tolist()
PARAMS = SamplingParams(temperature=1, seed=3, max_tokens=12)


@dataclass
class Sized:
    size_bytes: int


@given(st.data())
def test_memory_stays_within_its_bound_and_what_is_used_stays(data: st.DataObject) -> None:
    pool = AdapterPool(100)
    used: list[HeldAdapter] = []
    recent: list[str] = []
    for number in range(data.draw(st.integers(1, 30))):
        match data.draw(st.sampled_from(["add", "hold", "release", "drop"])):
            case "add":
                key, size = str(number), data.draw(st.integers(1, 100))
                before = {k for k in recent if k in pool}
                is_in = pool.add(key, Sized(size))
                in_use = {id(held): held.packed.size_bytes for held in used}
                assert is_in == (sum(in_use.values()) + size <= 100)
                gone = [k for k in recent if k in before and k not in pool]
                assert all(held.key in pool or held.key not in before for held in used), "what is used stays"
                if is_in:
                    idle = [k for k in recent if k in before and k not in {held.key for held in used}]
                    assert gone == idle[: len(gone)], "the least recently used go first"
                    recent.append(key)
                else:
                    assert not gone
            case "hold" if keys := [key for key in recent if key in pool]:
                key = data.draw(st.sampled_from(keys))
                used.append(pool.hold(key))
                recent.remove(key)
                recent.append(key)
            case "release" if used:
                pool.release(used.pop(data.draw(st.integers(0, len(used) - 1))))
            case "drop" if recent:
                pool.drop(data.draw(st.sampled_from(recent)))
        assert pool.size_bytes <= 100
    while used:
        pool.release(used.pop())
    for key in recent:
        pool.drop(key)
    assert (pool.size_bytes, len(pool)) == (0, 0)


def test_what_never_fits_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="adapter_bytes"):
        AdapterPool(10).add("a", Sized(11))


@dataclass
class Desk:
    """An engine with its arrivals, as the worker has them."""

    engine: Engine
    directory: Path
    refused: dict[str, str] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    inbox: "SimpleQueue[Loaded]" = field(default_factory=SimpleQueue)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()
        self.arrivals = Arrivals(self.engine, self._load, _no_grammar, self.inbox.put, self._refuse)

    def _load(self, ref: AdapterRef) -> PackedAdapter:
        self.loads.append(ref.key)
        assert self.gate.wait(20)
        return self.engine.model.pack_adapter(open_adapter(Path(ref.directory), TINY))

    def _refuse(self, request: Request, error: BiseError) -> None:
        self.refused[request.request_id] = str(error)

    def ask(self, name: str, adapter: str | None = None, prompt: list[int] = PROMPT, **changes: object) -> None:
        ref = AdapterRef(adapter, str(self.directory / adapter)) if adapter else None
        self.arrivals.add(Request(name, prompt, replace(PARAMS, **changes), adapter=ref))  # type: ignore[arg-type]

    def settle(self, num_loads: int) -> dict[str, list[int]]:
        """Take in so many loaded adapters, and step until nothing is left."""
        tokens: dict[str, list[int]] = {}
        while num_loads or not self.engine.is_idle:
            if num_loads and (self.engine.is_idle or not self.inbox.empty()):
                self.arrivals.take(self.inbox.get(timeout=20))
                num_loads -= 1
            self.arrivals.advance()
            for output in self.engine.step():
                tokens.setdefault(output.request_id, []).extend(output.token_ids)
        return tokens


def _no_grammar(grammar: Grammar) -> Constraint:
    raise AssertionError(grammar)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(open_weights(write_model(tmp_path_factory.mktemp("model"), TINY)), choose_kernels().kernels, 1)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate("abc"):
        write_adapter(parent / name, TINY, seed=seed)
    write_adapter(parent / "broken", replace(TINY, ffn_size=128))
    return parent


@pytest.fixture
def desk(model: Model, directory: Path) -> Desk:
    return Desk(Engine(model), directory)


def alone(desk: Desk, adapter: str | None) -> list[int]:
    fresh = Desk(Engine(desk.engine.model), desk.directory)
    fresh.ask("x", adapter)
    return fresh.settle(1 if adapter else 0)["x"]


def test_a_request_gets_its_own_adapter_in_any_company(desk: Desk) -> None:
    for name, adapter in {"1": None, "2": "a", "3": "b", "4": "a", "5": None, "6": "c"}.items():
        desk.ask(name, adapter)
    tokens = desk.settle(3)
    expected = {adapter: alone(desk, adapter) for adapter in (None, "a", "b", "c")}
    assert len({tuple(ids) for ids in expected.values()}) == 4
    assert tokens == {
        "1": expected[None],
        "2": expected["a"],
        "3": expected["b"],
        "4": expected["a"],
        "5": expected[None],
        "6": expected["c"],
    }
    assert desk.loads == ["a", "b", "c"]
    stats = desk.engine.stats()
    assert (stats.num_adapters, stats.adapter_bytes) == (3, desk.engine.adapters.size_bytes)
    assert stats.adapter_bytes > 0


def test_what_was_computed_of_a_prompt_is_shared_within_an_adapter_only(desk: Desk) -> None:
    for name, adapter, num_loads, num_cached in (("1", None, 0, 0), ("2", "a", 1, 0), ("3", "b", 1, 0)):
        desk.ask(name, adapter)
        desk.settle(num_loads)
        assert desk.engine.stats().num_cached_tokens == num_cached
    desk.ask("4", "a")
    assert desk.settle(0)["4"] == alone(desk, "a")
    assert desk.engine.stats().num_cached_tokens == 32


def test_others_go_on_while_an_adapter_is_read(desk: Desk) -> None:
    desk.gate.clear()
    desk.ask("waits", "a")
    desk.ask("runs")
    assert desk.settle(0) == {"runs": alone(desk, None)}
    desk.gate.set()
    assert desk.settle(1) == {"waits": alone(desk, "a")}


def test_a_broken_or_missing_adapter_fails_its_requests_alone(desk: Desk) -> None:
    desk.ask("1", "broken")
    desk.ask("2", "missing")
    desk.ask("3", "a")
    desk.ask("4", "broken")
    desk.ask("5")
    assert desk.settle(3).keys() == {"3", "5"}
    assert desk.refused.keys() == {"1", "2", "4"}
    assert "made for" in desk.refused["1"]
    assert "no adapter" in desk.refused["2"]


def test_a_wrong_request_with_an_adapter_leaves_it_idle(desk: Desk) -> None:
    desk.ask("1", "a", [])
    desk.settle(1)
    assert "empty" in desk.refused["1"]
    desk.engine.adapters.drop("a")
    assert desk.engine.stats().adapter_bytes == 0


def test_an_adapter_that_is_dropped_while_in_use_goes_when_its_answers_have_ended(desk: Desk) -> None:
    expected = alone(desk, "a")
    desk.ask("1", "a", n=2)
    desk.arrivals.take(desk.inbox.get(timeout=20))
    desk.engine.step()
    desk.engine.adapters.drop("a")
    assert desk.engine.stats().num_adapters == 0
    assert desk.engine.stats().adapter_bytes > 0
    desk.ask("2", "a")  # it is read again, as it is on disk now
    assert desk.settle(1)["2"] == expected
    desk.engine.adapters.drop("a")
    assert desk.engine.stats().adapter_bytes == 0
    assert desk.loads == ["a", "a"]


def test_adapters_beyond_the_bound_take_turns_and_none_starves(model: Model, directory: Path) -> None:
    one = model.pack_adapter(open_adapter(directory / "a", TINY)).size_bytes
    desk = Desk(Engine(model, EngineConfig(adapter_bytes=one + one // 2, max_sequences=4)), directory)
    for number in range(9):
        desk.ask(str(number), "abc"[number % 3])
    desk.ask("base")
    largest = 0
    tokens: dict[str, list[int]] = {}
    while len(tokens) < 10 or not desk.engine.is_idle:
        desk.arrivals.advance()
        while desk.engine.is_idle or not desk.inbox.empty():
            desk.arrivals.take(desk.inbox.get(timeout=20))
        largest = max(largest, desk.engine.adapters.size_bytes)
        for output in desk.engine.step():
            tokens.setdefault(output.request_id, []).extend(output.token_ids)
    assert largest == one
    expected = {adapter: alone(desk, adapter) for adapter in "abc"}
    assert all(tokens[str(number)] == expected["abc"[number % 3]] for number in range(9))


def test_a_cancelled_request_makes_room_for_who_waits(model: Model, directory: Path) -> None:
    one = model.pack_adapter(open_adapter(directory / "a", TINY)).size_bytes
    desk = Desk(Engine(model, EngineConfig(adapter_bytes=one)), directory)
    desk.ask("1", "a")
    desk.arrivals.take(desk.inbox.get(timeout=20))
    desk.ask("2", "b")
    desk.ask("3", "b")
    desk.arrivals.cancel("3")
    desk.arrivals.take(desk.inbox.get(timeout=20))
    assert not desk.engine.is_idle
    desk.arrivals.cancel("1")
    assert desk.settle(0) == {"2": alone(desk, "b")}
