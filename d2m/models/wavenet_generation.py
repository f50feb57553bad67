"""The sample loop of WaveNet, compiled for one CPU core; `d2m.models.wavenet_generation` prepares its arrays.

Importing this module imports numba (it comes with librosa); the loop is compiled at its first call and then kept in
numba's cache.
"""

import inspect
from collections.abc import Callable, Iterable
from math import exp
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import njit
from torch import Tensor

from d2m.models.wavenet import SILENCE, WaveNet, WaveNetLayer, held


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
        code = drawn_code(out, uniforms[n], temperature)
        codes[n] = code
    return code


# run-time checkers of annotations wrap every function of this package; numba must be given what they wrapped
_options = {"cache": True, "fastmath": {"contract", "reassoc", "nsz"}, "nogil": True, "error_model": "numpy"}
tanh: Any = njit(inspect.unwrap(_tanh), **_options)
add_product: Any = njit(inspect.unwrap(_add_product), **_options)
drawn_code: Any = njit(inspect.unwrap(_drawn), **_options)
run: Any = njit(inspect.unwrap(_run), **_options)


# Cached activations (fast WaveNet: Le Paine et al., arXiv:1611.09482).
#
# A layer of dilation d needs its own input d samples ago and nothing else of the past, so each keeps its last d inputs. A
# sample then costs one step through every layer, however far the receptive field reaches. The condition is projected once
# per frame and interpolated after it.


_CHUNK = 8000
"""Samples between two reports of progress."""


def drawn(
    logits: Float[Tensor, "batch 256"], uniforms: Float[Tensor, " batch"], temperature: float | int
) -> Int[Tensor, " batch"]:
    """Codes drawn by the inverse cumulative distribution; at temperature 0 the most probable ones."""
    if temperature <= 0:
        return logits.argmax(dim=-1)
    kind = _finest(logits.device)
    probability = (logits.to(kind) / temperature).softmax(dim=-1)
    return (probability.cumsum(dim=-1) <= uniforms.to(kind)[:, None]).sum(dim=-1).clamp(max=logits.shape[-1] - 1)


def _finest(device: torch.device) -> torch.dtype:
    """Apple's GPU has no float64."""
    return torch.float64 if device.type in ("cpu", "cuda") else torch.float32


class CachedWaveNet:
    """Generates many dances at once, on any device; the reference of `CompiledWaveNet`.

    Args:
        network: in evaluation mode.
        condition: local condition of each dance; the last frame is held beyond its end.
        genre: class numbers.
    """

    def __init__(
        self, network: WaveNet, condition: Float[Tensor, "batch channel frame"], genre: Int[Tensor, " batch"]
    ) -> None:
        self.network, self.time = network, 0
        with torch.no_grad():
            self.local = network.local(held(condition), genre).float()
        self.code = torch.full_like(genre, SILENCE)
        rows, channels = len(condition), network.channels
        self.caches = [self.local.new_zeros(rows, channels, dilation) for dilation in network.dilations]

    @torch.no_grad()
    def logits(self) -> Float[Tensor, "batch 256"]:
        """Of the next sample, after `code`; moves the caches on by one sample."""
        network, upsampler = self.network, self.network.upsampler
        step, place = divmod(self.time + upsampler.lead_samples, network.hop_samples)
        before, after = (min(frame, self.local.shape[-1] - 1) for frame in (step, step + 1))
        rising, falling = upsampler.kernel[:, place]
        local = falling * self.local[..., before] + rising * self.local[..., after]
        x, gated = network.levels(self.code), []
        for layer, condition, cache in zip(
            network.layers, local.chunk(len(network.layers), dim=-1), self.caches, strict=True
        ):
            assert isinstance(layer, WaveNetLayer)
            slot, weight = self.time % layer.dilation, layer.gates.weight
            past = cache[..., slot].clone()
            cache[..., slot] = x
            content, gate = (past @ weight[..., 0].T + x @ weight[..., 1].T + condition).chunk(2, dim=-1)
            gated.append(content.tanh() * gate.sigmoid())
            x = x + layer.residual(gated[-1][..., None])[..., 0]
        self.time += 1
        summed = network.skip(torch.cat(gated, dim=-1)[..., None])
        return network.logits(network.hidden(summed.relu()).relu())[..., 0]

    def codes(
        self, uniforms: Float[Tensor, "batch sample"], temperature: float | int = 1.0
    ) -> Int[Tensor, "batch sample"]:
        """The next samples, one for each random number in [0, 1)."""
        made = []
        for column in uniforms.to(self.local.device, _finest(self.local.device)).T:
            self.code = drawn(self.logits(), column, temperature)
            made.append(self.code)
        return torch.stack(made, dim=1)


class CompiledWaveNet:
    """Generates one dance on one CPU core, in a loop that numba compiles.

    Args:
        network: in evaluation mode, on the CPU.
        condition: local condition; the last frame is held beyond its end.
        genre: class number.
    """

    def __init__(self, network: WaveNet, condition: Float[Tensor, "channel frame"], genre: int) -> None:
        layers = [layer for layer in network.layers if isinstance(layer, WaveNetLayer)]
        dilations = np.array(network.dilations)
        with torch.no_grad():
            local = network.local(held(condition[None]), torch.tensor([genre]))[0]
            per_layer = local.unflatten(0, (len(layers), 2 * network.channels)).permute(2, 0, 1)
            gates = [torch.cat([layer.gates.weight[..., 0].T, layer.gates.weight[..., 1].T]) for layer in layers]
            self._local = _array(per_layer)
            self._weights = (
                _array(network.levels.weight),
                _array(torch.stack(gates)),
                _array(torch.stack([layer.residual.weight[..., 0].T for layer in layers])),
                _array(torch.stack([_bias(layer.residual) for layer in layers])),
                *(_array(part) for one in (network.skip, network.hidden, network.logits)
                  for part in (one.weight[..., 0].T, _bias(one))),
            )  # fmt: skip
            self._kernel = _array(network.upsampler.kernel)
        self._lead, self._hop = network.upsampler.lead_samples, network.hop_samples
        self._rings = (dilations, np.concatenate([[0], dilations.cumsum()[:-1]]))
        self.caches = np.zeros((int(dilations.sum()), network.channels), np.float32)
        self.time, self.code = 0, SILENCE

    def codes(self, uniforms: Float[np.ndarray, " sample"], temperature: float | int = 1.0) -> np.ndarray:
        """The next samples Int64[sample], one for each random number in [0, 1)."""
        return self.codes_and_logits(uniforms, temperature, keep_logits=False)[0]

    def codes_and_logits(
        self, uniforms: Float[np.ndarray, " sample"], temperature: float | int = 1.0, keep_logits: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """The next samples and, for comparison, what they were drawn from: Float32[sample, 256]."""

        codes = np.empty(len(uniforms), np.int64)
        logits = np.empty((len(uniforms) if keep_logits else 0, self._weights[-1].shape[0]), np.float32)
        self._reach(self.time + len(uniforms))
        self.code = run(
            self.time, np.ascontiguousarray(uniforms, np.float64), float(temperature), self.code, self._local, self._kernel,
            self._lead, *self._rings, self.caches, *self._weights, codes, logits, keep_logits,
        )  # fmt: skip
        self.time += len(uniforms)
        return codes, logits

    def _reach(self, samples: int) -> None:
        missing = (samples + self._lead) // self._hop + 2 - len(self._local)
        if missing > 0:
            self._local = np.concatenate([self._local, np.repeat(self._local[-1:], missing, axis=0)])


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().numpy())


def _bias(convolution: torch.nn.Conv1d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias


def generated_codes(
    network: WaveNet,
    condition: Float[Tensor, "channel frame"],
    genre: int,
    samples: int,
    temperature: float | int = 1.0,
    seed: int = 0,
    progress: Callable[[Iterable], Any] | None = None,
) -> Int[Tensor, " {samples}"]:
    """Codes of one piece; the same seed gives the same piece on the same device.

    On a CPU the compiled loop makes them, elsewhere PyTorch.

    Args:
        network, condition, genre: see `CompiledWaveNet`.
        samples: how many.
        temperature: divides the logits; 0 takes the most probable code.
        seed: of the random numbers, one for each sample.
        progress: wraps the chunks that the piece is made in.
    """
    uniforms = torch.rand(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    chunks = uniforms.split(_CHUNK)
    if condition.device.type == "cpu":
        compiled = CompiledWaveNet(network, condition, genre)
        made = [torch.from_numpy(compiled.codes(c.numpy(), temperature)) for c in (progress or iter)(chunks)]
    else:
        cached = CachedWaveNet(network, condition[None], torch.tensor([genre], device=condition.device))
        made = [cached.codes(chunk[None], temperature)[0].cpu() for chunk in (progress or iter)(chunks)]
    return torch.cat(made)
