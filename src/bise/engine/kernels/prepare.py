"""What is done for a whole batch before its step: every number in it is checked, since kernels check nothing."""

from functools import cache
from typing import Any

from numba import from_dtype, njit, types

from bise.engine.kernels import vectors as v
from bise.engine.kernels.attention import MAX_ROWS
from bise.engine.kernels.cache import compile_kernel
from bise.engine.kernels.control import end_turn
from bise.engine.kernels.linear import DEVICE, quantise_group
from bise.engine.kernels.memory import store_int64
from bise.engine.kernels.phases import COUNTERS_BYTES, NUM_PHASES, TASK
from bise.engine.kernels.table import BLOCK

# What can be wrong with a batch, by the number that `prepare` returns less one.
PROBLEMS = (
    "a position is negative or beyond its sequence's blocks",
    "a sequence has no row of blocks",
    "a slot is not the one that its position and blocks name",
    "a block is outside the cache",
    "a row of logits is not in the batch",
    "tokens of a sequence are not together and in order",
    "more rows of logits are wanted than there are tokens",
)


@njit(**DEVICE)
def find_problem(positions, sequences, slots, blocks, num_blocks, logit_rows):
    """The number of what is wrong in PROBLEMS, counted from one, or zero."""
    for t in range(len(positions)):
        position, sequence = positions[t], sequences[t]
        if position < 0 or position // BLOCK >= blocks.shape[1]:
            return 1
        if sequence < 0 or sequence >= blocks.shape[0]:
            return 2
        if slots[t] != blocks[sequence, position // BLOCK] * BLOCK + position % BLOCK:
            return 3
        if t > 0 and sequences[t - 1] == sequence and positions[t - 1] + 1 != position:
            return 6
        if t == 0 or sequences[t - 1] != sequence:
            for earlier in range(t - 1):
                if sequences[earlier] == sequence:
                    return 6
    for row in range(blocks.shape[0]):
        for i in range(blocks.shape[1]):
            if blocks[row, i] < 0 or blocks[row, i] >= num_blocks:
                return 4
    if len(logit_rows) > len(positions):  # their activations have room for the tokens
        return 7
    for i in range(len(logit_rows)):
        if logit_rows[i] < 0 or logit_rows[i] >= len(positions):
            return 5
    return 0


@njit(**DEVICE)
def make_query_tiles(tiles, sequences, most):
    """Cut the batch into runs of at most `most` tokens of one sequence: [first, count] of each; returns how many."""
    runs, token = 0, 0
    while token < len(sequences):
        count = 1
        while count < most and token + count < len(sequences) and sequences[token + count] == sequences[token]:
            count += 1
        store_int64(tiles, 16 * runs, token)
        store_int64(tiles, 16 * runs + 8, count)
        token += count
        runs += 1
    return runs


@njit(**DEVICE)
def clear_padding(columns, activations, scales, offsets, stride, num_tokens):
    """Zero the group that fills up a matrix's columns to a multiple of 64, if there is one."""
    group = columns // 32
    if group % 2:
        for token in range(num_tokens):
            quantise_group(v.zeros(), v.zeros(), activations, scales, offsets, stride, group, token)


@njit(**DEVICE)
def room_for(tokens):
    """The stride of so many tokens' activations: a power of two would put a token's groups in few of the cache's sets."""
    return tokens + (1 if tokens >= 64 and tokens % 2 == 0 else 0)


def prepare(tasks, positions, sequences, slots, blocks, num_blocks, logit_rows, logits):
    """Check a batch and enter it into the task; returns the number of what is wrong, or zero."""
    problem = find_problem(positions, sequences, slots, blocks, num_blocks, logit_rows)
    if problem != 0:
        return problem
    task = tasks[0]
    end_turn(task.control)  # an interruption may have kept the last one from its end
    group = task.num_heads // task.num_kv_heads
    task.num_tokens = tokens = len(positions)
    gated = tokens * max(1, task.experts_per_token)
    task.stride, task.routed_stride = room_for(tokens), room_for(gated)
    task.num_logits = len(logit_rows)
    task.num_queries = make_query_tiles(task.query_tiles, sequences, max(1, MAX_ROWS // 2 // group))
    task.positions, task.sequences = v.address(positions), v.address(sequences)
    task.slots, task.blocks = v.address(slots), v.address(blocks)
    task.blocks_bytes = 4 * blocks.shape[1]
    task.logit_rows, task.logits = v.address(logit_rows), v.address(logits)
    for phase in range(NUM_PHASES * task.num_layers + 2):
        store_int64(task.counters, COUNTERS_BYTES * phase, 0)
        store_int64(task.counters, COUNTERS_BYTES * phase + 8, 0)
    stride, attended = task.stride, task.num_heads * task.head_dim
    clear_padding(task.hidden_size, task.normed, task.normed_scales, task.normed_offsets, stride, tokens)
    clear_padding(attended, task.mixed, task.mixed_scales, task.mixed_offsets, stride, tokens)
    clear_padding(task.ffn_size, task.gated, task.gated_scales, task.gated_offsets, task.routed_stride, gated)
    return 0


@cache
def load_prepare() -> Any:
    """`prepare` compiled."""
    ints, rows = types.int32[::1], types.int64[::1]
    tasks = types.Array(from_dtype(TASK), 1, "C")
    signature = types.int64(tasks, ints, ints, ints, types.int32[:, ::1], types.int64, rows, types.float32[:, ::1])
    return compile_kernel(prepare, signature)
