"""One step of a whole model with integer weights, as one call for each thread.

A layer has seven phases, each of which begins when the one before is complete:

    normalise   RMS norm (arXiv 1910.07467) of the hidden states, quantised to int8
    project     queries, keys and values of some heads; biases, norms, rotation (RoPE, arXiv 2104.09864); keys and
                values to the cache
    attend      one key/value head for a few neighbouring tokens; the result quantised
    output      the attention's output matrix, added to the hidden states
    normalise
    gate        some gate and up rows, which lie in turn by 16; silu(gate) * up, quantised
    down        the feed-forward's output matrix, added to the hidden states

Where tokens have adapters (`lora.py`), a phase `shrink` comes before each of the four phases with a matrix.

Where a layer has experts, `experts.py` has what stands in place of the last three.

The work of a phase is cut into units (`phases.py`): a thread that the system has given no processor holds nobody up
unless it is in the middle of a unit. What a unit computes depends on neither the thread nor the cut.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import from_dtype, njit, types

from bise.engine.kernels import vectors as v
from bise.engine.kernels.attention import MAX_ROWS, call_attend, scratch_floats
from bise.engine.kernels.cache import compile_kernel
from bise.engine.kernels.control import CONTINUE, await_turn, end_turn, leave_turn
from bise.engine.kernels.experts import mix_experts
from bise.engine.kernels.instructions import InstructionSetType
from bise.engine.kernels.linear import DEVICE, linear, quantise_group
from bise.engine.kernels.lora import DOWN, GATE_UP, OUTPUT, QUERY_KEY_VALUE, RANKS, expand, shrink
from bise.engine.kernels.memory import load_int32, load_int64
from bise.engine.kernels.norm import normalise_row
from bise.engine.kernels.phases import (
    LAYER,
    NUM_PHASES,
    SHRINK,
    TASK,
    finish,
    take,
    units_at_once,
    wait_until_done,
)
from bise.engine.kernels.store import store_row
from bise.engine.kernels.table import BLOCK, TILE


@njit(**DEVICE)
def normalise(task, phase, weight, rows, num_rows):
    """The phase `normalise` for all tokens, or for those that `rows` lists; a unit is a token."""
    some = (num_rows + 4 * task.num_threads - 1) // (4 * task.num_threads)
    unit = take(task, phase, some)
    while unit < num_rows:
        end = min(unit + some, num_rows)
        for token in range(unit, end):
            row = token if rows == 0 else load_int64(rows, 8 * token)
            normalise_row(task, task.hidden + 4 * row * task.hidden_size, weight, token)
        finish(task, phase, end - unit)
        unit = take(task, phase, some)
    wait_until_done(task, phase, num_rows)


@njit(**DEVICE)
def multiply(isa, task, bits, weights, tile0, tile1, columns, activations, scales, offsets, y):
    """Rows of tiles [tile0, tile1) for all tokens; y [tokens, rows of these tiles]."""
    width = (tile1 - tile0) * TILE
    padded = (columns + 63) // 64 * 64
    linear(
        isa,
        bits,
        weights,
        tile0,
        tile1,
        padded,
        activations,
        scales,
        offsets,
        task.stride,
        task.num_tokens,
        y - 4 * tile0 * TILE,
        width,
    )


@njit(**DEVICE)
def shrink_all(task, index, product, columns, activations, scales):
    """The phase `shrink` before a product; steps without adapters have none."""
    phase = NUM_PHASES * index + SHRINK + product
    units = task.num_pieces * (task.low_columns // RANKS)
    unit = take(task, phase, 1)
    while unit < units:
        shrink(task, index, product, unit, columns, activations, scales)
        finish(task, phase, 1)
        unit = take(task, phase, 1)
    wait_until_done(task, phase, units)


@njit(**DEVICE)
def rotate(row, cosines, sines, head_dim, out):
    """Rotate a query or key [D] by its position's angles, the first half of its dimensions against the second."""
    half = head_dim // 2
    i = 0
    while i + 16 <= half:
        x, y = v.load_floats(row, 4 * i), v.load_floats(row, 4 * (half + i))
        c, s = v.load_floats(cosines, 4 * i), v.load_floats(sines, 4 * i)
        v.store_floats(out, 4 * i, v.subtract(v.multiply(x, c), v.multiply(y, s)))
        v.store_floats(out, 4 * (half + i), v.add(v.multiply(y, c), v.multiply(x, s)))
        i += 16
    while i < half:
        a, b = v.load_float(row, 4 * i), v.load_float(row, 4 * (half + i))
        e, f = v.load_float(cosines, 4 * i), v.load_float(sines, 4 * i)
        v.store_float(out, 4 * i, a * e - b * f)
        v.store_float(out, 4 * (half + i), b * e + a * f)
        i += 1


@njit(**DEVICE)
def add_row(row, bias, columns):
    """Add a bias to a row of whole vectors."""
    for i in range(0, columns, 16):
        v.store_floats(row, 4 * i, v.add(v.load_floats(row, 4 * i), v.load_floats(bias, 4 * i)))


@njit(**DEVICE)
def scale_row(row, factor, columns, out):
    """Multiply a row of whole vectors by a number."""
    for i in range(0, columns, 16):
        v.store_floats(out, 4 * i, v.multiply(v.load_floats(row, 4 * i), v.splat(factor)))


@njit(**DEVICE)
def normalise_head(row, weight, columns, epsilon):
    """RMS norm of one head's query or key, in place."""
    squares = v.zeros()
    for i in range(0, columns, 16):
        x = v.load_floats(row, 4 * i)
        squares = v.fma(x, x, squares)
    factor = v.splat(np.float32(1) / np.sqrt(v.total(squares) / np.float32(columns) + epsilon))
    for i in range(0, columns, 16):
        x = v.multiply(v.load_floats(row, 4 * i), factor)
        v.store_floats(row, 4 * i, v.multiply(x, v.load_floats(weight, 4 * i)))


@njit(**DEVICE)
def add_product(task, tile0, tile1, y):
    """Add what `multiply` wrote to the hidden states; rows beyond the model's width are padding."""
    width = (tile1 - tile0) * TILE
    used = min(width, task.hidden_size - tile0 * TILE)
    for token in range(task.num_tokens):
        x, row = task.hidden + 4 * (token * task.hidden_size + tile0 * TILE), y + 4 * token * width
        for i in range(0, used, 16):
            v.store_floats(x, 4 * i, v.add(v.load_floats(x, 4 * i), v.load_floats(row, 4 * i)))


@njit(**DEVICE)
def add_output(isa, task, phase, bits, weights, columns, activations, scales, offsets, scratch, index, product):
    """The phases `output` and `down`; a unit is two tiles."""
    if task.num_pieces > 0:
        shrink_all(task, index, product, columns, activations, scales)
    units = (task.hidden_size + 31) // 32
    some = units_at_once(task, units, 32, columns)
    unit = take(task, phase, some)
    while unit < units:
        tile0, tile1 = 2 * unit, 2 * min(unit + some, units)
        multiply(isa, task, bits, weights, tile0, tile1, columns, activations, scales, offsets, scratch)
        if task.num_pieces > 0:
            expand(task, index, product, 1, tile0, tile1, scratch, (tile1 - tile0) * TILE)
        add_product(task, tile0, tile1, scratch)
        finish(task, phase, min(some, units - unit))
        unit = take(task, phase, some)
    wait_until_done(task, phase, units)


@njit(**DEVICE, inline="always")
def gate(isa, task, phase, bits, weights, scratch, index):
    """The phase `gate`; a unit is 32 gate and 32 up rows, whose result is one group of activations."""
    if task.num_pieces > 0:
        shrink_all(task, index, GATE_UP, task.hidden_size, task.normed, task.normed_scales)
    units = task.ffn_size // 32
    some = units_at_once(task, units, 64, task.hidden_size)
    unit = take(task, phase, some)
    while unit < units:
        end = min(unit + some, units)
        x, scales, offsets = task.normed, task.normed_scales, task.normed_offsets
        multiply(isa, task, bits, weights, 4 * unit, 4 * end, task.hidden_size, x, scales, offsets, scratch)
        if task.num_pieces > 0:
            expand(task, index, GATE_UP, 2, 4 * unit, 4 * end, scratch, 64 * (end - unit))
        for token in range(task.num_tokens):
            for group in range(unit, end):
                row = scratch + 256 * (token * (end - unit) + group - unit)
                low = v.silu_gate(v.load_floats(row, 0), v.load_floats(row, 64))
                high = v.silu_gate(v.load_floats(row, 128), v.load_floats(row, 192))
                quantise_group(low, high, task.gated, task.gated_scales, task.gated_offsets, task.stride, group, token)
        finish(task, phase, end - unit)
        unit = take(task, phase, some)
    wait_until_done(task, phase, units)


@njit(**DEVICE)
def place_heads(task, layer, cells, head0, head1, y, scratch):
    """Rotate and store the heads [head0, head1) of a product y [tokens, their columns and padding]."""
    heads, kv_heads, head_dim = task.num_heads, task.num_kv_heads, task.head_dim
    width = (head1 - head0) * head_dim
    width = (width + 31) // 32 * 32
    for head in range(head0, head1):
        is_query, is_key = head < heads, heads <= head < heads + kv_heads
        norm = layer.query_norm if is_query else layer.key_norm
        for token in range(task.num_tokens):
            row = y + 4 * (token * width + (head - head0) * head_dim)
            if layer.query_key_value_bias != 0:
                add_row(row, layer.query_key_value_bias + 4 * head * head_dim, head_dim)
            if norm != 0 and (is_query or is_key):
                normalise_head(row, norm, head_dim, task.norm_epsilon)
            place = task.queries + 4 * (token * heads + head) * head_dim if is_query else scratch
            if layer.is_rotated != 0 and (is_query or is_key):
                at = 2 * load_int32(task.positions, 4 * token) * head_dim
                rotate(row, task.cosines + at, task.sines + at, head_dim, place)
                row = place
            if is_query:
                if row != place or task.query_scales != 0:
                    factor = np.float32(1) if task.query_scales == 0 else v.load_float(task.query_scales, 4 * token)
                    scale_row(row, factor, head_dim, place)
                continue
            slot = load_int32(task.slots, 4 * token)
            cell = cells + slot // BLOCK * task.block_bytes + (head - heads) % kv_heads * task.cell_bytes
            store_row(task.precision, is_key, row, cell, slot % BLOCK, head_dim, scratch + 4 * head_dim)


@njit(**DEVICE)
def quantise_attended(task, first, count, column0, column1):
    """Columns, whole groups, of what attention gave some tokens."""
    width = task.num_heads * task.head_dim
    for token in range(first, first + count):
        for group in range(column0 // 32, column1 // 32):
            at = task.attended + 4 * (token * width + 32 * group)
            low, high = v.load_floats(at, 0), v.load_floats(at, 64)
            quantise_group(low, high, task.mixed, task.mixed_scales, task.mixed_offsets, task.stride, group, token)


@njit(**DEVICE, inline="always")
def head(isa, task, phase):
    """Logits of the tokens that were normalised last; a unit is two tiles."""
    units = task.num_head_tiles // 2
    some = max(1, units // (8 * task.num_threads))
    unit = take(task, phase, some)
    while unit < units:
        linear(
            isa,
            task.head_bits,
            task.head,
            2 * unit,
            2 * min(unit + some, units),
            (task.hidden_size + 63) // 64 * 64,
            task.normed,
            task.normed_scales,
            task.normed_offsets,
            task.stride,
            task.num_logits,
            task.logits,
            task.num_head_tiles * TILE,
        )
        finish(task, phase, min(some, units - unit))
        unit = take(task, phase, some)
    wait_until_done(task, phase, units)


@njit(**DEVICE)
def quantise_all(task, phase):
    """Quantise what attention gave, where no unit of it is whole groups of columns; a unit is a token."""
    unit = take(task, phase, 1)
    while unit < task.num_tokens:
        quantise_attended(task, unit, 1, 0, task.num_heads * task.head_dim)
        finish(task, phase, 1)
        unit = take(task, phase, 1)
    wait_until_done(task, phase, task.num_tokens)


@njit(**DEVICE, inline="always")
def project(isa, task, phase, layer, cells, scratch, index):
    """The phase `project`; a unit is a head, or two where only two fill a pair of tiles."""
    if task.num_pieces > 0:
        shrink_all(task, index, QUERY_KEY_VALUE, task.hidden_size, task.normed, task.normed_scales)
    heads = task.num_heads + 2 * task.num_kv_heads
    in_unit = 1 if task.head_dim % 32 == 0 else 2
    units = (heads + in_unit - 1) // in_unit
    some = units_at_once(task, units, in_unit * task.head_dim, task.hidden_size)
    unit = take(task, phase, some)
    rest = scratch + 4 * task.product_floats
    while unit < units:
        head0, head1 = unit * in_unit, min((unit + some) * in_unit, heads)
        tile0, tile1 = head0 * task.head_dim // TILE, (head1 * task.head_dim + 31) // 32 * 2
        x, scales, offsets = task.normed, task.normed_scales, task.normed_offsets
        bits, weights = layer.query_key_value_bits, layer.query_key_value
        multiply(isa, task, bits, weights, tile0, tile1, task.hidden_size, x, scales, offsets, scratch)
        if task.num_pieces > 0:  # a last tile that fills up a pair has no rows
            last = head1 * task.head_dim // TILE
            expand(task, index, QUERY_KEY_VALUE, 3, tile0, last, scratch, (tile1 - tile0) * TILE)
        place_heads(task, layer, cells, head0, head1, scratch, rest)
        finish(task, phase, min(some, units - unit))
        unit = take(task, phase, some)
    wait_until_done(task, phase, units)


@njit(**DEVICE, inline="always")
def attend_all(task, phase, layer, cells, scratch):
    """The phase `attend`; a unit is a run of tokens and a key/value head, or a part of its group of heads."""
    group, head_dim = task.num_heads // task.num_kv_heads, task.head_dim
    runs = task.num_queries * task.num_kv_heads
    parts = min(group, (task.num_threads + runs - 1) // runs)
    parts = max(parts, (group + MAX_ROWS - 1) // MAX_ROWS)
    in_part = (group + parts - 1) // parts
    whole = in_part * head_dim % 32 == 0 and group * head_dim % 32 == 0
    units = runs * parts
    rest = scratch + 4 * task.product_floats
    unit = take(task, phase, 1)
    while unit < units:
        run = task.query_tiles + 16 * ((units - 1 - unit) // (task.num_kv_heads * parts))  # long contexts first
        kv_head, part = unit // parts % task.num_kv_heads, unit % parts
        first, count = load_int64(run, 0), load_int64(run, 8)
        head0 = kv_head * group + part * in_part
        heads = min(in_part, (kv_head + 1) * group - head0)
        if heads > 0:
            at, token_bytes = 4 * (first * task.num_heads + head0) * head_dim, 4 * task.num_heads * head_dim
            call_attend(
                task.attend,
                task.queries + at,
                token_bytes,
                task.attended + at,
                token_bytes,
                count,
                heads,
                load_int32(task.positions, 4 * first),
                layer.window,
                head_dim,
                task.attention_scale,
                task.blocks + load_int32(task.sequences, 4 * first) * task.blocks_bytes,
                cells + kv_head * task.cell_bytes,
                task.block_bytes,
                rest,
            )
            if whole:
                quantise_attended(task, first, count, head0 * head_dim, (head0 + heads) * head_dim)
        finish(task, phase, 1)
        unit = take(task, phase, 1)
    wait_until_done(task, phase, units)
    if not whole:
        quantise_all(task, phase + 1)


@njit(**DEVICE, inline="always")
def step(isa, thread, task, layers):
    """This thread's part of a step."""
    scratch = task.scratch + thread * task.scratch_bytes
    mixed_columns = task.num_heads * task.head_dim
    for index in range(task.num_layers):
        layer, phase, cells = layers[index], NUM_PHASES * index, task.cells + index * task.layer_bytes
        normalise(task, phase, layer.attention_norm, 0, task.num_tokens)
        project(isa, task, phase + 1, layer, cells, scratch, index)
        attend_all(task, phase + 2, layer, cells, scratch)
        x, scales, offsets = task.mixed, task.mixed_scales, task.mixed_offsets
        bits, weights = layer.output_bits, layer.output
        add_output(isa, task, phase + 4, bits, weights, mixed_columns, x, scales, offsets, scratch, index, OUTPUT)
        if layer.router != 0:
            mix_experts(isa, task, phase, layer, scratch)
            continue
        normalise(task, phase + 5, layer.ffn_norm, 0, task.num_tokens)
        gate(isa, task, phase + 6, layer.gate_up_bits, layer.gate_up, scratch, index)
        x, scales, offsets = task.gated, task.gated_scales, task.gated_offsets
        bits, weights = layer.down_bits, layer.down
        add_output(isa, task, phase + 7, bits, weights, task.ffn_size, x, scales, offsets, scratch, index, DOWN)
    normalise(task, NUM_PHASES * task.num_layers, task.final_norm, task.logit_rows, task.num_logits)
    head(isa, task, NUM_PHASES * task.num_layers + 1)


def thread_scratch_bytes(product_floats: int, head_dim: int) -> int:
    """Memory that each thread needs for itself: products, then what attention or the cache's writing takes."""
    rest: int = max(scratch_floats(head_dim), 4 * head_dim + 64)
    return 4 * (product_floats + rest) + 256


def take_turns(isa, thread, control, tasks, layers):
    """Thread 0 runs one step; the others help whenever there is one, until they are to sleep or to end."""
    if thread == 0:
        step(isa, thread, tasks[0], layers)
        end_turn(control)
        return CONTINUE
    while True:
        state = await_turn(control, thread)
        if state != CONTINUE:
            return state
        step(isa, thread, tasks[0], layers)
        leave_turn(control)


@cache
def load_step(instruction_set: str) -> Any:
    """`take_turns` compiled for one instruction set."""
    signature = types.int64(
        InstructionSetType(instruction_set),
        types.int64,
        types.int64,
        types.Array(from_dtype(TASK), 1, "C"),
        types.Array(from_dtype(LAYER), 1, "C"),
    )
    return compile_kernel(take_turns, signature, exact=True)
