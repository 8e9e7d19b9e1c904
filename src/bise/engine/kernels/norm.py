"""RMS norm (arXiv 1910.07467) of a token's hidden states, for the phases of a step."""

import numpy as np
from numba import njit

from bise.engine.kernels import vectors as v
from bise.engine.kernels.linear import DEVICE, quantise_group


@njit(**DEVICE)
def norm_factor(row, columns, epsilon):
    """What a row of floats, a multiple of 32, is multiplied by so that its mean square is one."""
    low, high = v.zeros(), v.zeros()
    for i in range(0, columns, 32):
        x, y = v.load_floats(row, 4 * i), v.load_floats(row, 4 * i + 64)
        low, high = v.fma(x, x, low), v.fma(y, y, high)
    mean = v.total(v.add(low, high)) / np.float32(columns)
    return np.float32(1) / np.sqrt(mean + epsilon)


@njit(**DEVICE)
def normalise_row(task, row, weight, token):
    """Norm and quantisation of a row of hidden states."""
    factor = v.splat(norm_factor(row, task.hidden_size, task.norm_epsilon))
    for group in range(task.hidden_size // 32):
        at = 128 * group
        x = v.multiply(v.multiply(v.load_floats(row, at), factor), v.load_floats(weight, at))
        y = v.multiply(v.multiply(v.load_floats(row, at + 64), factor), v.load_floats(weight, at + 64))
        quantise_group(x, y, task.normed, task.normed_scales, task.normed_offsets, task.stride, group, token)
