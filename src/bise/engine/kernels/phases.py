"""The work of a step, cut into phases and units: what a step is about, and how threads take and finish units.

A phase begins when the one before is complete. A thread takes the next few units whenever it is free; threads wait for
units, not for each other.
"""

from typing import Any

import numpy as np
from numba import njit

from bise.engine.kernels import vectors as v
from bise.engine.kernels.linear import DEVICE

NUM_PHASES = 15  # of a layer, with one for what `attend` could not quantise itself, those of adapters and of experts
SHRINK = 8  # the first of adapters'
ROUTE = 12  # the first of experts'
COUNTERS_BYTES = 64  # of a phase: units taken, units done
_LEAST_WORK = 1 << 18  # multiplications that a thread takes at once, some microseconds
_SPINS = 1000  # looks at a phase that is not complete before the processor is offered to others


def _record(integers: str, floats: str = "") -> np.dtype[Any]:
    return np.dtype(
        [(name, np.int64) for name in integers.split()] + [(name, np.float32) for name in floats.split()], align=True
    )


# What a step is about, in one record; fields that are not counts are addresses.
TASK = _record(
    # the model
    "num_layers hidden_size num_heads num_kv_heads head_dim ffn_size num_head_tiles head_bits final_norm head"
    # the threads, and the memory that each has for itself
    " num_threads control counters scratch scratch_bytes product_floats"
    # the cache
    " precision attend cells layer_bytes block_bytes cell_bytes"
    # the batch
    " num_tokens stride num_logits num_queries positions sequences slots blocks blocks_bytes logit_rows cosines sines"
    " query_scales"
    # memory that all threads share: floats of each token, then int8 activations with scales and offsets
    " hidden queries attended logits query_tiles"
    " normed normed_scales normed_offsets mixed mixed_scales mixed_offsets gated gated_scales gated_offsets"
    # adapters: pieces of the batch, their tokens, and floats of each token
    " num_pieces pieces adapted low low_columns"
    # experts: the tokens that each has, in places one after another, and their activations
    " num_experts experts_per_token routed_stride router_logits chosen shares"
    " expert_starts places place_tokens place_shares gathered gathered_scales gathered_offsets",
    "norm_epsilon attention_scale",
)
LAYER = _record(
    "attention_norm ffn_norm query_key_value query_key_value_bits output output_bits gate_up gate_up_bits down down_bits"
    # zero where there is none; the window in tokens
    " query_key_value_bias query_norm key_norm window is_rotated router experts"
)


@njit(**DEVICE)
def take(task, phase, most):
    """The first of the next `most` units of a phase."""
    return v.atomic_add(task.counters + COUNTERS_BYTES * phase, most)


@njit(**DEVICE)
def finish(task, phase, count):
    """Report units as done."""
    v.atomic_add(task.counters + COUNTERS_BYTES * phase + 8, count)


@njit(**DEVICE)
def wait_until_done(task, phase, units):
    """Wait until all units of a phase are done."""
    looks = 0
    while v.atomic_load(task.counters + COUNTERS_BYTES * phase + 8) < units:
        looks += 1
        if looks > _SPINS:
            v.yield_processor()
        else:
            v.pause()


@njit(**DEVICE)
def units_at_once(task, num_units, rows, columns):
    """How many units, each of so many matrix rows, a thread takes: a sixth of its share.

    More when that would be less work than taking it, fewer when their product would not fit.
    """
    if task.num_threads == 1:
        share = num_units
    else:
        share = (num_units + 6 * task.num_threads - 1) // (6 * task.num_threads)
        share = max(share, _LEAST_WORK // (rows * columns * task.num_tokens))
    return max(1, min(share, task.product_floats // (rows * task.num_tokens)))
