"""One dial: from minutes, or a number of parameters, to the shape, the batch and the learning rates.

Compute-optimal training sees about ten tokens for each weight in a matrix product (nanochat's measured horizon, 10.5;
arXiv 2203.15556 found 20 with another optimiser). So a budget of operations buys one shape: the largest of a ladder for
which it pays for that many tokens. Steps are about 3,000 at any size, since the batch that still helps grows with the
tokens (arXiv 2001.08361). Learning rates fall with the root of the width. The rules start from shapes that were trained:
6 layers of 256 on a laptop's processor and 12 layers of 768 on one large GPU.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from bise.errors import InputError
from bise.train.compute import flops_per_token, num_matrix_weights
from bise.train.recipe import Shape, TrainRecipe
from bise.weights.spec import ModelSpec

TOKENS_PER_WEIGHT = 10.5
STEPS = 3000
_UTILISATION = 1 / 3  # of the peak rate, which is what training reaches: measured from 31 to 50 %
_UTILISATION_AT_64 = 0.15  # of models 64 wide; 0.23 was measured at 128, and 0.32 at 192
_LEAST_BATCH = 4096  # tokens
_WIDTH_OF_RATES = 256  # at which the default learning rates hold
_LADDER = (
    # layers, and their width
    (2, 64),  # little more than a word list: to see the whole way in minutes
    (3, 128),
    (4, 192),
    (6, 256),
    (8, 384),
    (10, 512),
    (12, 640),
    (12, 768),
    (16, 1024),
    (20, 1280),
    (24, 1536),
    (26, 2048),
    (32, 2560),
    (32, 4096),
)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def resolve(recipe: TrainRecipe, vocab_size: int, peak_flops: float, base: Shape | None = None) -> TrainRecipe:
    """Replace the dial by what follows from it on a machine of that speed; a recipe with a shape stays as it is.

    A base has its shape already, and is trained on at the recipe's own learning rates.

    The result names a shape, tokens, batch and learning rates as a recipe without a dial would.

    Raises:
        InputError: the dial cannot be read, or buys less than the smallest shape.
    """
    if recipe.shape is not None:
        return recipe
    if recipe.budget:
        at_peak = budget_seconds(recipe.budget) * peak_flops
        shape = base or _shape_for(at_peak, vocab_size, recipe.budget)
        operations = at_peak * utilisation(shape.hidden_size)
        tokens = int(operations / flops_per_token(_spec(shape, vocab_size), shape.context_length))
    elif base:
        shape, tokens = base, recipe.tokens or 0
    else:
        assert recipe.parameters is not None
        shape = _nearest_shape(recipe.parameters, vocab_size)
        tokens = recipe.tokens or int(TOKENS_PER_WEIGHT * num_matrix_weights(_spec(shape, vocab_size)))
    row_length = recipe.row_length or shape.context_length
    batch_rows = max(1, 2 ** round(math.log2(max(_LEAST_BATCH, tokens / STEPS) / row_length)))
    microbatch_rows = math.gcd(batch_rows, recipe.loop.microbatch_rows)
    rate = 1.0 if base else math.sqrt(_WIDTH_OF_RATES / shape.hidden_size)
    optimizer = replace(
        recipe.optimizer,
        matrix_learning_rate=round(recipe.optimizer.matrix_learning_rate * rate, 6),
        embedding_learning_rate=round(recipe.optimizer.embedding_learning_rate * rate, 6),
    )
    loop = replace(recipe.loop, batch_rows=batch_rows, microbatch_rows=microbatch_rows)
    return replace(
        recipe,
        budget="",
        parameters=None,
        shape=shape,
        tokens=tokens,
        row_length=row_length,
        optimizer=optimizer,
        loop=loop,
    )


def utilisation(hidden_size: int) -> float:
    """The share of the peak rate that training a model of that width may be expected to reach."""
    return min(_UTILISATION, _UTILISATION_AT_64 * math.pow(hidden_size / 64, 0.65))


def words(recipe: TrainRecipe, spec: ModelSpec) -> str:
    """What a resolved recipe comes to, in a sentence."""
    return (
        f"{spec.num_parameters() / 1e6:.1f} million parameters in {spec.num_layers} layers of {spec.hidden_size}, "
        f"{(recipe.tokens or 0) / 1e6:,.1f} million tokens in steps of {recipe.loop.batch_rows} x {recipe.row_length}, "
        f"learning rates {recipe.optimizer.matrix_learning_rate:g} and {recipe.optimizer.embedding_learning_rate:g}."
    )


def budget_seconds(budget: str) -> float:
    """Read "90s", "25m", "2h" or "1d".

    Raises:
        InputError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", budget.strip())
    if match is None or float(match[1]) == 0:
        raise InputError(f"budget is {budget!r}, but must be a time such as 90s, 25m, 2h or 1d.")
    return float(match[1]) * _UNITS[match[2]]


def as_budget(seconds: float) -> str:
    """A time that can be given as a budget, rounded up."""
    size, unit = next((size, unit) for unit, size in reversed(_UNITS.items()) if seconds >= size or unit == "s")
    tenths = math.ceil(10 * seconds / size)
    return f"{tenths / 10:g}{unit}" if tenths < 100 else f"{math.ceil(tenths / 10)}{unit}"


def _shape_for(at_peak: float, vocab_size: int, budget: str) -> Shape:
    """The largest shape that is trained on enough tokens in the time of so many operations at the peak rate."""
    affordable = [shape for shape in _shapes() if _at_peak(shape, vocab_size) <= at_peak]
    if not affordable:
        smallest = next(_shapes())
        needed_s = budget_seconds(budget) * _at_peak(smallest, vocab_size) / at_peak
        raise InputError(
            f"A budget of {budget} is too little here for the smallest model, {smallest.num_layers} layers of "
            f"{smallest.hidden_size} with {vocab_size:,} tokens of vocabulary: give {as_budget(needed_s)}, or name "
            "shape and tokens yourself."
        )
    return affordable[-1]


def _at_peak(shape: Shape, vocab_size: int) -> float:
    spec = _spec(shape, vocab_size)
    operations = TOKENS_PER_WEIGHT * num_matrix_weights(spec) * flops_per_token(spec, shape.context_length)
    return operations / utilisation(shape.hidden_size)


def _nearest_shape(parameters: int, vocab_size: int) -> Shape:
    return min(_shapes(), key=lambda shape: abs(math.log(_spec(shape, vocab_size).num_parameters() / parameters)))


def _shapes() -> Iterator[Shape]:
    return (_shape(layers, width) for layers, width in _LADDER)


def _shape(num_layers: int, width: int) -> Shape:
    head_dim = 64 if width < 640 else 128
    num_heads = width // head_dim
    num_kv_heads = next(n for n in (8, 4, 2, 1) if num_heads % n == 0 and (n < num_heads or num_heads == 1))
    return Shape(
        hidden_size=width,
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        ffn_size=64 * math.ceil(width * 8 / 3 / 64),
        context_length=512 if width < 512 else 1024 if width < 640 else 2048,
        tied_embeddings=width < 640,  # a large share of a small model
    )


def _spec(shape: Shape, vocab_size: int) -> ModelSpec:
    return ModelSpec(vocab_size=vocab_size, **shape.__dict__)
