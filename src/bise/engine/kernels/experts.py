"""A mixture of experts in the fused step (Mixtral, arXiv 2401.04088): five phases in place of a dense feed-forward's.

    route      RMS norm of a token's hidden states, quantised; its experts, and the share that each has in its result
    sort       one thread gives every pair of token and expert a place: expert after expert, tokens in order
    gather     the tokens' activations in these places
    gate, down as in a dense layer; a unit computes its rows for each expert that has tokens

Only the weights of experts that were chosen are read. An output is added expert by expert in their order, so that a
token's sums have one order whatever stands beside it.
"""

import numpy as np
from numba import njit

from bise.engine.kernels import vectors as v
from bise.engine.kernels.linear import DEVICE, linear, quantise_group
from bise.engine.kernels.memory import load_int64, store_int64
from bise.engine.kernels.norm import norm_factor, normalise_row
from bise.engine.kernels.phases import ROUTE, finish, take, units_at_once, wait_until_done
from bise.engine.kernels.table import TILE


@njit(**DEVICE)
def route_token(task, layer, token):
    """Norm a token's hidden states, and choose its experts by the router's products with them, in floats."""
    row, columns = task.hidden + 4 * token * task.hidden_size, task.hidden_size
    normalise_row(task, row, layer.ffn_norm, token)
    factor = v.splat(norm_factor(row, columns, task.norm_epsilon))
    logits = task.router_logits + 4 * token * task.num_experts
    for expert in range(task.num_experts):
        weights, total = layer.router + 4 * expert * columns, v.zeros()
        for i in range(0, columns, 16):
            x = v.multiply(v.multiply(v.load_floats(row, 4 * i), factor), v.load_floats(layer.ffn_norm, 4 * i))
            total = v.fma(x, v.load_floats(weights, 4 * i), total)
        v.store_float(logits, 4 * expert, v.total(total))
    choose_experts(task, token, logits)


@njit(**DEVICE)
def choose_experts(task, token, logits):
    """The experts of the largest logits, each once even where these are no numbers, and the softmax of those."""
    chosen, shares = task.chosen + 8 * token * task.experts_per_token, task.shares + 4 * token * task.experts_per_token
    total, largest = np.float32(0), np.float32(0)
    for rank in range(task.experts_per_token):
        best, best_logit = -1, np.float32(0)
        for expert in range(task.num_experts):
            is_free = True
            for earlier in range(rank):
                is_free = is_free and load_int64(chosen, 8 * earlier) != expert
            logit = v.load_float(logits, 4 * expert)
            if is_free and (best < 0 or logit > best_logit):
                best, best_logit = expert, logit
        if rank == 0:
            largest = best_logit
        share = np.exp(best_logit - largest)
        total += share
        store_int64(chosen, 8 * rank, best)
        v.store_float(shares, 4 * rank, share)
    for rank in range(task.experts_per_token):
        v.store_float(shares, 4 * rank, v.load_float(shares, 4 * rank) / total)


@njit(**DEVICE)
def sort_tokens(task):
    """Give every pair of token and expert its place."""
    starts, places, pairs = task.expert_starts, task.places, task.num_tokens * task.experts_per_token
    for expert in range(task.num_experts + 1):
        store_int64(starts, 8 * expert, 0)
    for pair in range(pairs):
        after = 8 * load_int64(task.chosen, 8 * pair) + 8
        store_int64(starts, after, load_int64(starts, after) + 1)
    for expert in range(task.num_experts):
        start = load_int64(starts, 8 * expert)
        store_int64(starts, 8 * expert + 8, start + load_int64(starts, 8 * expert + 8))
        store_int64(places, 8 * expert, start)
    for pair in range(pairs):
        expert = load_int64(task.chosen, 8 * pair)
        place = load_int64(places, 8 * expert)
        store_int64(places, 8 * expert, place + 1)
        store_int64(task.place_tokens, 8 * place, pair // task.experts_per_token)
        v.store_float(task.place_shares, 4 * place, v.load_float(task.shares, 4 * pair))


@njit(**DEVICE)
def gather_token(task, place):
    """Copy the activations of a place's token, with the group that fills up the columns."""
    token = load_int64(task.place_tokens, 8 * place)
    for group in range((task.hidden_size + 63) // 64 * 2):
        source, target = group * task.stride + token, group * task.routed_stride + place
        for half in range(2):
            part = v.load_bytes(task.normed, 32 * source + 16 * half)
            v.store_bytes(task.gathered, 32 * target + 16 * half, part)
        v.store_float(task.gathered_scales, 4 * target, v.load_float(task.normed_scales, 4 * source))
        v.store_float(task.gathered_offsets, 4 * target, v.load_float(task.normed_offsets, 4 * source))


@njit(**DEVICE)
def multiply_places(isa, task, bits, weights, tile0, tile1, columns, activations, scales, offsets, first, count, y):
    """Rows of tiles [tile0, tile1) of one expert's matrix for the tokens in its places."""
    width = (tile1 - tile0) * TILE
    linear(
        isa,
        bits,
        weights,
        tile0,
        tile1,
        (columns + 63) // 64 * 64,
        activations + 32 * first,
        scales + 4 * first,
        offsets + 4 * first,
        task.routed_stride,
        count,
        y - 4 * tile0 * TILE,
        width,
    )


@njit(**DEVICE)
def route_all(task, phase, layer):
    """The phases `route`, `sort` and `gather`; their units are tokens, all pairs, and pairs."""
    some = (task.num_tokens + 4 * task.num_threads - 1) // (4 * task.num_threads)
    unit = take(task, phase, some)
    while unit < task.num_tokens:
        end = min(unit + some, task.num_tokens)
        for token in range(unit, end):
            route_token(task, layer, token)
        finish(task, phase, end - unit)
        unit = take(task, phase, some)
    wait_until_done(task, phase, task.num_tokens)
    if take(task, phase + 1, 1) == 0:
        sort_tokens(task)
        finish(task, phase + 1, 1)
    wait_until_done(task, phase + 1, 1)
    pairs = task.num_tokens * task.experts_per_token
    some = (pairs + 4 * task.num_threads - 1) // (4 * task.num_threads)
    unit = take(task, phase + 2, some)
    while unit < pairs:
        end = min(unit + some, pairs)
        for place in range(unit, end):
            gather_token(task, place)
        finish(task, phase + 2, end - unit)
        unit = take(task, phase + 2, some)
    wait_until_done(task, phase + 2, pairs)


@njit(**DEVICE)
def gate_expert(isa, task, layer, expert, unit, end, scratch):
    """Units of the phase `gate` for one expert's tokens."""
    first = load_int64(task.expert_starts, 8 * expert)
    count = load_int64(task.expert_starts, 8 * expert + 8) - first
    if count == 0:
        return
    weights, bits, columns = load_int64(layer.experts, 16 * expert), layer.gate_up_bits, task.hidden_size
    x, scales, offsets = task.gathered, task.gathered_scales, task.gathered_offsets
    multiply_places(isa, task, bits, weights, 4 * unit, 4 * end, columns, x, scales, offsets, first, count, scratch)
    for place in range(count):
        for group in range(unit, end):
            row = scratch + 256 * (place * (end - unit) + group - unit)
            low = v.silu_gate(v.load_floats(row, 0), v.load_floats(row, 64))
            high = v.silu_gate(v.load_floats(row, 128), v.load_floats(row, 192))
            x, scales, offsets, at = task.gated, task.gated_scales, task.gated_offsets, first + place
            quantise_group(low, high, x, scales, offsets, task.routed_stride, group, at)


@njit(**DEVICE)
def add_expert(isa, task, layer, expert, tile0, tile1, scratch):
    """Add some columns of one expert's output, by its shares, to the hidden states of its tokens."""
    first = load_int64(task.expert_starts, 8 * expert)
    count = load_int64(task.expert_starts, 8 * expert + 8) - first
    if count == 0:
        return
    weights, bits, columns = load_int64(layer.experts, 16 * expert + 8), layer.down_bits, task.ffn_size
    x, scales, offsets = task.gated, task.gated_scales, task.gated_offsets
    multiply_places(isa, task, bits, weights, tile0, tile1, columns, x, scales, offsets, first, count, scratch)
    width = (tile1 - tile0) * TILE
    used = min(width, task.hidden_size - tile0 * TILE)
    for place in range(count):
        token = load_int64(task.place_tokens, 8 * (first + place))
        share = v.splat(v.load_float(task.place_shares, 4 * (first + place)))
        x, row = task.hidden + 4 * (token * task.hidden_size + tile0 * TILE), scratch + 4 * place * width
        for i in range(0, used, 16):
            v.store_floats(x, 4 * i, v.fma(share, v.load_floats(row, 4 * i), v.load_floats(x, 4 * i)))


@njit(**DEVICE)
def mix_experts(isa, task, phase, layer, scratch):
    """The feed-forward of a layer with experts."""
    route_all(task, phase + ROUTE, layer)
    units = task.ffn_size // 32
    some = units_at_once(task, units, 64, task.hidden_size)
    unit = take(task, phase + 6, some)
    while unit < units:
        end = min(unit + some, units)
        for expert in range(task.num_experts):
            gate_expert(isa, task, layer, expert, unit, end, scratch)
        finish(task, phase + 6, end - unit)
        unit = take(task, phase + 6, some)
    wait_until_done(task, phase + 6, units)
    units = (task.hidden_size + 31) // 32
    some = units_at_once(task, units, 32, task.ffn_size)
    unit = take(task, phase + 7, some)
    while unit < units:
        end = min(unit + some, units)
        for expert in range(task.num_experts):
            add_expert(isa, task, layer, expert, 2 * unit, 2 * end, scratch)
        finish(task, phase + 7, end - unit)
        unit = take(task, phase + 7, some)
    wait_until_done(task, phase + 7, units)
