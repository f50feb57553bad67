"""Normalisations on a CPU, compiled: group norm as an `affine` (see `d2m.model.cpu_loops`), layer norm over channels.

Arrays are float32.
"""

import numpy as np
from numba import prange

from d2m.model.compiled import loop, one_thread

_BLOCK = 64


@loop
def _channel_moments(x, out):
    batch, channels, frames = x.shape
    for i in prange(batch * channels):
        b, c = i // channels, i % channels
        row = x[b, c]
        first, total, squares = row[0], np.float32(0), np.float32(0)
        for t in range(frames):
            value = row[t] - first  # close to the mean: sums of squares then lose nothing
            total += value
            squares += value * value
        out[b, c, 0] = first + total / frames
        out[b, c, 1] = squares - total * total / frames


@one_thread
def _group_affine(moments, weight, bias, groups, frames, eps):
    batch, channels, _ = moments.shape
    members = channels // groups
    for b in range(batch):
        for first in range(0, channels, members):
            mean, squares = 0.0, 0.0
            for c in range(first, first + members):
                mean += moments[b, c, 0]
            mean /= members
            for c in range(first, first + members):
                apart = moments[b, c, 0] - mean
                squares += moments[b, c, 1] + frames * apart * apart
            inverse = 1 / np.sqrt(squares / (members * frames) + eps)
            for c in range(first, first + members):
                moments[b, c, 0] = weight[c] * inverse
                moments[b, c, 1] = bias[c] - mean * weight[c] * inverse


def group_norm_affine(x, weight, bias, groups, eps):
    """Group normalisation (Wu & He 2018) of `x` [batch channel frame] as an `affine`."""
    moments = np.empty((*x.shape[:2], 2), np.float32)
    _channel_moments(x, moments)
    _group_affine(moments, weight, bias, groups, x.shape[2], eps)
    return moments


@loop
def layer_norm(x, scale, shift, eps, out):
    """Every frame of [batch channel frame] normalised over its channels, then scaled and shifted by [batch channel]."""
    batch, channels, frames = x.shape
    blocks = (frames + _BLOCK - 1) // _BLOCK
    for i in prange(batch * blocks):
        b, start = i // blocks, i % blocks * _BLOCK
        end = min(start + _BLOCK, frames)
        mean, inverse = np.zeros(end - start, np.float32), np.zeros(end - start, np.float32)
        for c in range(channels):
            row = x[b, c, start:end]
            for t in range(len(row)):
                mean[t] += row[t]
        for t in range(end - start):
            mean[t] /= np.float32(channels)
        for c in range(channels):
            row = x[b, c, start:end]
            for t in range(len(row)):
                apart = row[t] - mean[t]
                inverse[t] += apart * apart
        for t in range(end - start):
            inverse[t] = np.float32(1) / np.sqrt(inverse[t] / np.float32(channels) + np.float32(eps))
        for c in range(channels):
            row, to, factor, offset = x[b, c, start:end], out[b, c, start:end], scale[b, c], shift[b, c]
            for t in range(len(row)):
                to[t] = (row[t] - mean[t]) * inverse[t] * factor + offset
