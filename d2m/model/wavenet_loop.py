"""The sample loop of WaveNet, compiled for one CPU core; `d2m.model.wavenet_generation` prepares its arrays.

Importing this module imports numba (it comes with librosa); the loop is compiled at its first call and then kept in
numba's cache.
"""

import inspect
from math import exp

import numpy as np
from numba import njit


def _tanh(x):
    # ratio of polynomials in x², minimax in the relative error on [-8, 8] (Lawson's reweighted least squares); arithmetic
    # only, so that a vector of them is done at once; within 4e-7 of tanh
    x = min(max(x, np.float32(-8)), np.float32(8))
    s = x * x
    above = np.float32(1.52303911704621e-08) * s + np.float32(2.1894642486586235e-05)
    above = above * s + np.float32(0.0035715969279408455)
    above = above * s + np.float32(0.1344449669122696)
    above = above * s + np.float32(1)
    below = np.float32(8.522435450686316e-07) * s + np.float32(0.0003411289944779128)
    below = below * s + np.float32(0.02616443857550621)
    below = below * s + np.float32(0.4677782356739044)
    below = below * s + np.float32(1)
    return x * above / below


def _add_product(matrix, x, out):
    # out += x @ matrix; four rows at a time, so that `out` is read and written a quarter as often
    rows, columns = matrix.shape
    whole = rows - rows % 4
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(columns):
            out[j] += a * matrix[i, j] + b * matrix[i + 1, j] + c * matrix[i + 2, j] + d * matrix[i + 3, j]
    for i in range(whole, rows):
        for j in range(columns):
            out[j] += x[i] * matrix[i, j]


def _drawn(logits, uniform, temperature):
    # inverse of the cumulative distribution; temperature 0 takes the most probable code
    best = 0
    for j in range(1, len(logits)):
        if logits[j] > logits[best]:
            best = j
    if temperature <= 0:
        return best
    total = 0.0
    for j in range(len(logits)):
        total += exp((logits[j] - logits[best]) / temperature)
    left = uniform * total
    for j in range(len(logits)):
        left -= exp((logits[j] - logits[best]) / temperature)
        if left < 0:
            return j
    return best


def _run(
    first, uniforms, temperature, code, local, kernel, lead, dilations, offsets, caches, levels, gates, residual,
    residual_bias, skip, skip_bias, hidden, hidden_bias, last, last_bias, codes, logits, keep_logits,
):  # fmt: skip
    layers, hop, channels = len(dilations), kernel.shape[1], levels.shape[1]
    pair, gate = np.empty(2 * channels, np.float32), np.empty(2 * channels, np.float32)
    gated = np.empty(layers * channels, np.float32)
    summed, inner = np.empty(len(skip_bias), np.float32), np.empty(len(hidden_bias), np.float32)
    out = np.empty(len(last_bias), np.float32)
    for n in range(len(uniforms)):
        t = first + n
        step, place = (t + lead) // hop, (t + lead) % hop
        falling, rising = kernel[1, place], kernel[0, place]
        for c in range(channels):
            pair[channels + c] = levels[code, c]
        for layer in range(layers):
            slot = offsets[layer] + t % dilations[layer]
            for c in range(channels):
                pair[c] = caches[slot, c]
                caches[slot, c] = pair[channels + c]
            for j in range(2 * channels):
                gate[j] = falling * local[step, layer, j] + rising * local[step + 1, layer, j]
            add_product(gates[layer], pair, gate)
            at = layer * channels
            for c in range(channels):
                opened = np.float32(0.5) + np.float32(0.5) * tanh(np.float32(0.5) * gate[channels + c])
                gated[at + c] = tanh(gate[c]) * opened
            for c in range(channels):
                pair[channels + c] += residual_bias[layer, c]
            add_product(residual[layer], gated[at : at + channels], pair[channels:])
        summed[:] = skip_bias
        add_product(skip, gated, summed)
        for c in range(len(summed)):
            summed[c] = max(summed[c], np.float32(0))
        inner[:] = hidden_bias
        add_product(hidden, summed, inner)
        for c in range(len(inner)):
            inner[c] = max(inner[c], np.float32(0))
        out[:] = last_bias
        add_product(last, inner, out)
        if keep_logits:
            logits[n] = out
        code = drawn(out, uniforms[n], temperature)
        codes[n] = code
    return code


# run-time checkers of annotations wrap every function of this package; numba must be given what they wrapped
_options = {"cache": True, "fastmath": {"contract", "reassoc", "nsz"}, "nogil": True, "error_model": "numpy"}
tanh = njit(inspect.unwrap(_tanh), **_options)
add_product = njit(inspect.unwrap(_add_product), **_options)
drawn = njit(inspect.unwrap(_drawn), **_options)
run = njit(inspect.unwrap(_run), **_options)
