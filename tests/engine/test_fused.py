"""The fused step: the same bits however tokens are batched, divided or stored, and close to the exact path."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import bise.weights
from bise.engine.batch import Batch
from bise.engine.cache import KVCache
from bise.engine.forward import Model, can_fuse
from bise.engine.kernels.cells import KVPrecision
from bise.engine.kernels.instructions import available, choose_instruction_set
from bise.engine.kernels.table import Floats, Kernels, choose_kernels
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from bise.weights.rope import RopeScaling
from bise.weights.spec import ModelSpec, Quantisation
from tests.random_models import TINY, write_model

SHIPPED = Path(bise.weights.__file__).parent / "shipped" / "bise-demo"
BLOCKS = 20  # of each of three sequences: 320 tokens, more than two chunks of attention
LENGTH = 300
WIDE = replace(TINY, hidden_size=96, num_heads=8, num_kv_heads=2, head_dim=64, ffn_size=160, context_length=LENGTH)
SHAPES = {
    "groups of four": WIDE,
    "no groups, small heads, tied": replace(TINY, num_kv_heads=4, tied_embeddings=True),
    "one key/value head of 48": replace(TINY, num_kv_heads=1, head_dim=48),
    "heads of 80 in groups of three, window": replace(
        TINY, num_heads=6, num_kv_heads=2, head_dim=80, hidden_size=32, sliding_window=50
    ),
    "biases, head norms, windows in some layers": replace(
        WIDE, attention_bias=True, qk_norm=True, num_layers=3, sliding_window=50, full_attention_layers=(1,)
    ),
    "growing queries, an unrotated layer, yarn": replace(
        WIDE,
        unrotated_layers=(1,),
        rope_scaling=RopeScaling("yarn", 4.0, original_context=64, attention_factor=1.05, query_beta=0.1),
    ),
    "experts": replace(WIDE, num_experts=5, experts_per_token=2, num_layers=3),
    "more heads in a group than rows in a unit": replace(TINY, num_heads=40, num_kv_heads=1, head_dim=16),
}


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    choice = choose_kernels()
    if choice.kernels.instruction_set is None:
        pytest.skip("this processor has no instruction set for the fused path")
    return choice.kernels


@pytest.fixture(scope="module", params=SHAPES)
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantised(tmp_path_factory.mktemp("model"), SHAPES[request.param])


@pytest.fixture(scope="module")
def model(directory: Path, kernels: Kernels) -> Iterator[Model]:
    model = Model(open_weights(directory), kernels, num_threads=2, least_shared_bytes=0)
    assert model.is_fused
    yield model
    model.close()


def quantised(directory: Path, spec: ModelSpec, bits: int = 8) -> Path:
    quantise_directory(write_model(directory / "float", spec), directory / "int", bits)
    return directory / "int"


def prompt(spec: ModelSpec, length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, spec.vocab_size, length).tolist()


def batch_of(*pieces: tuple[int, list[int], int], blocks: np.ndarray | None = None) -> Batch:
    """A batch of (sequence, its tokens, how many of them are cached); all logits are wanted."""
    rows = [(s, i, tokens[i]) for s, tokens, cached in pieces for i in range(cached, len(tokens))]
    sequence, position, token = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    if blocks is None:
        blocks = np.random.default_rng(0).permutation(3 * BLOCKS).astype(np.int32).reshape(3, BLOCKS)
    slots = (blocks[sequence, position // 16] * 16 + position % 16).astype(np.int32)
    return Batch(token, position, sequence, slots, blocks, np.arange(len(rows)))


def run(model: Model, *steps: Batch, precision: KVPrecision = "fp16") -> list[Floats]:
    cache = KVCache(model.spec, 3 * BLOCKS, precision)
    return [model.forward(step, cache) for step in steps]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_cached_batched_and_chunked_are_the_same_bits(model: Model, precision: KVPrecision) -> None:
    one, two, three = prompt(model.spec, LENGTH, 1), prompt(model.spec, 5, 2), prompt(model.spec, 70, 3)
    (whole,) = run(model, batch_of((0, one, 0)), precision=precision)
    ends = [0, 1, 2, 5, 16, 17, 40, 127, 129, 250, LENGTH]
    pieces = [batch_of((0, one[:end], start)) for start, end in pairwise(ends)]
    np.testing.assert_array_equal(np.concatenate(run(model, *pieces, precision=precision)), whole)
    singles = [batch_of((0, one[: i + 1], i)) for i in range(250, LENGTH)]
    decoded = run(model, batch_of((0, one[:250], 0)), *singles, precision=precision)[1:]
    np.testing.assert_array_equal(np.concatenate(decoded), whole[250:])
    first, second = run(
        model,
        batch_of((1, two[:2], 0), (0, one[:280], 0), (2, three, 0)),
        batch_of((0, one, 280), (1, two, 2)),
        precision=precision,
    )
    np.testing.assert_array_equal(first[2:282], whole[:280])
    np.testing.assert_array_equal(second[:20], whole[280:])
    (alone,) = run(model, batch_of((1, two, 0)), precision=precision)
    np.testing.assert_array_equal(np.concatenate([first[:2], second[20:]]), alone)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_shared_blocks_are_as_good_as_own_ones(model: Model, precision: KVPrecision) -> None:
    one = prompt(model.spec, 100, 1)
    (whole,) = run(model, batch_of((0, one, 0)), precision=precision)
    blocks = np.arange(3 * BLOCKS, dtype=np.int32).reshape(3, BLOCKS)
    blocks[1, :4] = blocks[0, :4]  # 64 tokens of the first sequence
    steps = batch_of((0, one[:64], 0), blocks=blocks), batch_of((1, one, 64), blocks=blocks)
    np.testing.assert_array_equal(run(model, *steps, precision=precision)[1], whole[64:])


@pytest.mark.parametrize("num_threads", [1, 3, 7])
def test_threads_change_nothing(directory: Path, model: Model, kernels: Kernels, num_threads: int) -> None:
    other = Model(open_weights(directory), kernels, num_threads, least_shared_bytes=0)
    one, two = prompt(model.spec, 90, 1), prompt(model.spec, 3, 2)
    steps = batch_of((0, one[:80], 0)), batch_of((0, one, 80), (1, two, 0)), batch_of((1, [*two, 1], 3))
    for ours, expected in zip(run(other, *steps), run(model, *steps), strict=True):
        np.testing.assert_array_equal(ours, expected)
    other.close()


def test_a_small_step_is_run_by_one_thread_with_the_same_bits(directory: Path, model: Model, kernels: Kernels) -> None:
    alone = Model(open_weights(directory), kernels, num_threads=2)
    steps = [batch_of((0, prompt(model.spec, end, 1), start)) for start, end in ((0, 60), (60, 61), (61, 300))]
    for ours, expected in zip(run(alone, *steps), run(model, *steps), strict=True):
        np.testing.assert_array_equal(ours, expected)
    alone.close()


def test_any_rows_of_logits(model: Model) -> None:
    ids = prompt(model.spec, 40)
    whole = batch_of((0, ids, 0))
    (expected,) = run(model, whole)
    for rows in ([39], [3], [0, 7, 39], [5, 5]):
        (some,) = run(model, replace(whole, logit_rows=np.array(rows)))
        np.testing.assert_array_equal(some, expected[rows])


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(
    "shape", ["groups of four", *(name for name in SHAPES if name.startswith(("bias", "growing", "expert")))]
)
def test_it_is_the_exact_path_but_for_rounded_activations(
    tmp_path: Path, kernels: Kernels, bits: int, shape: str
) -> None:
    spec = replace(SHAPES[shape], num_layers=1, full_attention_layers=(), unrotated_layers=())
    weights = open_weights(quantised(tmp_path, spec, bits))
    ids = prompt(weights.spec, LENGTH)
    fused, exact = Model(weights, kernels), Model(weights, kernels, activations="float32")
    assert (fused.is_fused, exact.is_fused) == (True, False)
    (ours,), (expected,) = run(fused, batch_of((0, ids, 0))), run(exact, batch_of((0, ids, 0)))
    errors = np.linalg.norm(ours - expected, axis=1) / np.linalg.norm(expected, axis=1)
    if spec.num_experts:  # of two experts nearly as good, rounding may choose the other
        errors = np.sort(errors)[: int(0.9 * len(ids))]
    assert np.sqrt(np.mean(errors**2)) < 0.03
    fused.close()
    exact.close()


def test_a_batch_that_would_reach_outside_the_cache_is_stopped(tmp_path: Path, kernels: Kernels) -> None:
    model = Model(open_weights(quantised(tmp_path, WIDE)), kernels)
    good = batch_of((0, prompt(WIDE, 9), 0))
    wrong = {
        "position": replace(good, positions_T=good.positions_T - 1),
        "sequence": replace(good, sequences_T=good.sequences_T + 3),
        "slot": replace(good, slots_T=good.slots_T + 1),
        "block": replace(good, blocks=good.blocks + 3 * BLOCKS, slots_T=good.slots_T + 3 * 16 * BLOCKS),
        "logits": replace(good, logit_rows=np.array([9])),
        "together": batch_of((0, [1], 0), (1, [1, 1], 0), (0, [1, 1], 1)),
    }
    for word, batch in wrong.items():
        with pytest.raises(AssertionError, match=word):
            run(model, batch)
    model.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", available())
def test_every_instruction_set_obeys_the_laws(tmp_path: Path, kernels: Kernels, name: str) -> None:
    weights = open_weights(quantised(tmp_path, WIDE, 4))
    chosen = replace(kernels, instruction_set=choose_instruction_set(name))
    model, exact = Model(weights, chosen, 2, least_shared_bytes=0), Model(weights, kernels, activations="float32")
    ids = prompt(WIDE, LENGTH)
    for precision in ("fp16", "int8"):
        (whole,) = run(model, batch_of((0, ids, 0)), precision=precision)
        pieces = [batch_of((0, ids[:end], start)) for start, end in pairwise((0, 1, 3, 17, 150, 151, LENGTH))]
        np.testing.assert_array_equal(np.concatenate(run(model, *pieces, precision=precision)), whole)
        (expected,) = run(exact, batch_of((0, ids, 0)), precision=precision)
        assert np.linalg.norm(whole - expected) < 0.08 * np.linalg.norm(expected)
    model.close()
    exact.close()


def test_what_an_int8_cache_costs_the_shipped_model(kernels: Kernels) -> None:
    model = Model(open_weights(SHIPPED), kernels)
    divergences, agreements = [], []
    for seed in (5, 6, 7):  # one text alone is too few places: of them, 96.5 to 99.5 % agree
        whole = batch_of((0, likely_text(model, seed), 0))
        (fp16,), (int8,) = run(model, whole), run(model, whole, precision="int8")
        divergences.append((softmax(fp16) * (np.log(softmax(fp16)) - np.log(softmax(int8)))).sum(axis=1))
        agreements.append(fp16.argmax(axis=1) == int8.argmax(axis=1))
    assert np.mean(divergences) < 2e-3
    assert np.mean(agreements) > 0.96
    model.close()


def likely_text(model: Model, seed: int) -> list[int]:
    """200 tokens, all but the first 8 those that the model holds likeliest."""
    ids = prompt(model.spec, 8, seed)
    cache, blocks = KVCache(model.spec, BLOCKS), np.arange(BLOCKS, dtype=np.int32)[None]
    while len(ids) < 200:
        step = batch_of((0, ids, len(ids) - 1 if len(ids) > 8 else 0), blocks=blocks)
        ids.append(int(model.forward(step, cache)[-1].argmax()))
    return ids


def test_the_fused_path_chooses_as_the_exact_one_on_the_shipped_model(kernels: Kernels) -> None:
    weights = open_weights(SHIPPED)
    fused, exact = Model(weights, kernels), Model(weights, kernels, activations="float32")
    whole = batch_of((0, prompt(weights.spec, 200, 5), 0))
    (ours,), (expected,) = run(fused, whole), run(exact, whole)
    assert np.linalg.norm(ours - expected) < 0.05 * np.linalg.norm(expected)
    assert (ours.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9
    fused.close()
    exact.close()


def softmax(logits: Floats) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def test_which_shapes_are_fused() -> None:
    spec = replace(TINY, quantisation=Quantisation(4, 32))
    assert can_fuse(spec)
    assert not can_fuse(TINY)
    assert not can_fuse(replace(spec, head_dim=10))
    assert not can_fuse(replace(spec, quantisation=Quantisation(4, 16)))


@pytest.mark.slow
def test_every_instruction_set_gives_the_same_bits(tmp_path: Path) -> None:
    weights = open_weights(quantised(tmp_path, WIDE, 4))
    batch = batch_of((0, prompt(WIDE, 200), 0), (1, prompt(WIDE, 3, 1), 0))
    found = {}
    for name in available():
        model = Model(weights, choose_kernels(instruction_set=name).kernels, num_threads=2)
        found[name] = model.forward(batch, KVCache(WIDE, 3 * BLOCKS))
        model.close()
    for name, logits in found.items():
        np.testing.assert_array_equal(logits, found[available()[0]], err_msg=name)
