"""How loops for a CPU are compiled, and on how many threads they run.

What is inlined stands in the file of the loop that uses it: numba's cache watches that file alone.
"""

import ctypes
import inspect
import threading
from functools import partial
from pathlib import Path

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic, overload

_LOOSE = {"reassoc", "contract", "nsz", "arcp"}


def _compiled(function, **options):
    # type checks may have put a wrapper around the function
    return njit(**options)(inspect.unwrap(function))


one_thread = partial(_compiled, fastmath=_LOOSE, error_model="numpy", cache=True)
loop = partial(one_thread, parallel=True)
part = partial(_compiled, fastmath=_LOOSE, error_model="numpy", inline="always")


def _share_pytorchs_threads() -> None:
    # numba's loops then run on the threads of PyTorch's OpenMP; two pools would wait for each other's processors
    for library in Path(torch.__file__).parent.glob("lib/libgomp*.so*"):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


_share_pytorchs_threads()
_told = threading.local()


def use_threads(number: int) -> None:
    """Run the loops that this thread of the program starts on so many threads, as far as numba has them."""
    if getattr(_told, "number", None) != number:  # to tell numba takes as long as a small loop
        numba.set_num_threads(max(1, min(number, numba.config.NUMBA_NUM_THREADS)))
        _told.number = number


# What stands between the matrix products of a U-Net on a CPU, each in one pass over memory: compiled loops.
#
# PyTorch runs norm, activation, padding and the sums around a product one after the other, each through memory; for the long
# levels of a U-Net that costs as much as the products. A loop here does what lies between two products at once, a channel (or
# a block of frames) per turn, on as many threads as PyTorch uses. Importing this module imports numba (it comes with
# librosa); a loop is compiled at its first call and then kept in numba's cache.
#
# Arrays are float32; what a product reads or gave may be bfloat16, as uint16. `affine` [batch channel 2] is factor and offset of
# every channel; where `active`, SiLU follows.


_ROWS = 16


@intrinsic
def _float_of_bits(context, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _bits_of_float(context, number):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def _stored(number, out):
    """`number` as the array `out` holds it, bfloat16 rounded to the nearest, half-way to even."""
    raise NotImplementedError("compiled only")


def _loaded(number):
    """A float32 of what an array holds."""
    raise NotImplementedError("compiled only")


@overload(_stored, inline="always")
def _compile_stored(number, out):
    if out.dtype != types.uint16:
        return lambda number, out: number

    def rounded(number, out):
        bits = _bits_of_float(number)
        return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

    return inspect.unwrap(rounded)


@overload(_loaded, inline="always")
def _compile_loaded(number):
    if number != types.uint16:
        return lambda number: number
    return lambda number: _float_of_bits(np.int32(np.uint32(number) << np.uint32(16)))


@part
def _exp(x):
    # 2**n times a polynomial on [-ln 2 / 2, ln 2 / 2], arithmetic only, so that a vector is done at once; within 2e-7
    x = min(max(x, np.float32(-87)), np.float32(87))
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.1219444e-4)
    series = np.float32(1 / 5040)
    series = series * r + np.float32(1 / 720)
    series = series * r + np.float32(1 / 120)
    series = series * r + np.float32(1 / 24)
    series = series * r + np.float32(1 / 6)
    series = series * r + np.float32(1 / 2)
    series = (series * r + np.float32(1)) * r + np.float32(1)
    return series * _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))


@part
def _silu(x):
    return x / (np.float32(1) + _exp(-x))


@part
def _prepared(row, affine, b, c, active, out, start):
    frames = len(row)
    if active:
        factor, offset = affine[b, c, 0], affine[b, c, 1]
        for t in range(frames):
            out[start + t] = _silu(row[t] * factor + offset)
    else:
        for t in range(frames):
            out[start + t] = row[t]


@loop
def winograd_columns(x, affine, active, out):
    """[batch channel frame] → [6 channel batch*tile]: sums of six neighbours each, a tile at every fourth frame."""
    batch, channels, frames = x.shape
    tiles = frames // 4
    four, two, five, quarter = np.float32(4), np.float32(2), np.float32(5), np.float32(0.25)
    for i in prange(batch * channels):
        b, c = i // channels, i % channels
        padded = np.empty(frames + 4, np.float32)
        padded[0] = 0
        padded[frames + 1 :] = 0
        _prepared(x[b, c], affine, b, c, active, padded, 1)
        columns = out[:, c, b * tiles : (b + 1) * tiles]
        c0, c1, c2, c3, c4, c5 = columns[0], columns[1], columns[2], columns[3], columns[4], columns[5]
        for t in range(tiles):
            d0, d1, d2 = padded[4 * t], padded[4 * t + 1], padded[4 * t + 2]
            d3, d4, d5 = padded[4 * t + 3], padded[4 * t + 4], padded[4 * t + 5]
            even, odd = d4 - four * d2, d3 - four * d1
            c1[t], c2[t] = even + odd, even - odd
            even, odd = d4 - d2, two * (d3 - d1)
            c3[t], c4[t] = even + odd, even - odd
            c0[t], c5[t] = d0 + quarter * (d4 - five * d2), d5 - five * d3 + four * d1


@loop
def winograd_outputs(p0, p1, p2, p3, p4, p5, bias, residual, out):
    """Six products [channel batch*tile] → `out` [batch channel frame], bias and `residual` (or nothing) added."""
    batch, channels, frames = out.shape
    tiles, add = frames // 4, len(residual) > 0
    two, four, eight = np.float32(2), np.float32(4), np.float32(8)
    for i in prange(batch * channels):
        b, c = i // channels, i % channels
        row, first, offset = out[b, c], b * tiles, bias[c]
        for t in range(tiles):
            j = first + t
            a, d = p1[c, j] + p2[c, j] + offset, p1[c, j] - p2[c, j] + offset
            e, f = p3[c, j] + p4[c, j], p3[c, j] - p4[c, j]
            row[4 * t] = p0[c, j] + a + e
            row[4 * t + 1] = d + two * f
            row[4 * t + 2] = a + four * e
            row[4 * t + 3] = d + eight * f + p5[c, j]
        if add:
            other = residual[b, c]
            for t in range(frames):
                row[t] += other[t]


@loop
def patches(x, affine, active, kernel, stride, padding, out):
    """[batch channel frame] → [kernel*channel batch*frame']: for every output frame what its kernel sees."""
    batch, channels, frames = x.shape
    length = (frames + 2 * padding - kernel) // stride + 1
    rows = batch * channels
    for block in prange((rows + _ROWS - 1) // _ROWS):
        padded = np.zeros(frames + 2 * padding, np.float32)
        kept = np.empty(frames + 2 * padding, out.dtype)
        for i in range(block * _ROWS, min((block + 1) * _ROWS, rows)):
            b, c = i // channels, i % channels
            _prepared(x[b, c], affine, b, c, active, padded, padding)
            for t in range(len(kept)):
                kept[t] = _stored(padded[t], out)
            for k in range(kernel):
                row = out[k * channels + c, b * length : (b + 1) * length]
                if stride == 1:
                    for t in range(length):
                        row[t] = kept[t + k]
                else:
                    for t in range(length):
                        row[t] = kept[t * stride + k]


@loop
def outputs(product, bias, residual, out):
    """[channel batch*frame] → `out` [batch channel frame], bias and `residual` (or nothing) added."""
    batch, channels, frames = out.shape
    add = len(residual) > 0
    for i in prange(batch * channels):
        b, c = i // channels, i % channels
        row, first, offset = out[b, c], b * frames, bias[c]
        for t in range(frames):
            row[t] = _loaded(product[c, first + t]) + offset
        if add:
            other = residual[b, c]
            for t in range(frames):
                row[t] += other[t]


@loop
def doubling_columns(x, out):
    """[batch channel frame] → [3 channel batch*frame]: the step from the frame before, the frame, the step to the next."""
    batch, channels, frames = x.shape
    for i in prange(batch * channels):
        b, c = i // channels, i % channels
        padded = np.empty(frames + 2, np.float32)
        padded[0], padded[frames + 1] = 0, 0
        _prepared(x[b, c], x, b, c, False, padded, 1)
        columns = out[:, c, b * frames : (b + 1) * frames]
        before, here, after = columns[0], columns[1], columns[2]
        for t in range(frames):
            here[t] = _stored(padded[t + 1], out)
            before[t] = _stored(padded[t] - padded[t + 1], out)
            after[t] = _stored(padded[t + 2] - padded[t + 1], out)


@loop
def doubling_outputs(before, here, after, bias, out):
    """Three products [channel batch*frame] → `out` [batch channel 2*frame], bias added."""
    batch, channels, doubled = out.shape
    frames = doubled // 2
    for i in prange(batch * channels):
        b, c = i // channels, i % channels
        row, first, offset = out[b, c], b * frames, bias[c]
        for t in range(frames):
            middle = _loaded(here[c, first + t]) + offset
            row[2 * t] = _loaded(before[c, first + t]) + middle
            row[2 * t + 1] = middle + _loaded(after[c, first + t])


# Normalisations on a CPU, compiled: group norm as an `affine` (see `d2m.models.cpu_loops`), layer norm over channels.
#
# Arrays are float32.


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
