"""Blocks in one pass: the numbers of a-unet's own, in float32 and bfloat16, and a-unet's own blocks again afterwards."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from d2m.models.conditioner import Condition
from d2m.models.fast_convolution import array, loops
from d2m.models.fast_network import (
    FastConvBlock,
    FastDoubling,
    FastModulation,
    FastResnetBlock,
    fast_inference,
    use_fast_layers,
)
from d2m.models.unet import ConditionedUNet

FAST = (FastConvBlock, FastDoubling, FastModulation, FastResnetBlock)
WIDTH = 128
NOTHING = np.empty((0, 0, 0), dtype=np.float32)


@pytest.fixture(scope="module")
def unet():
    """Two levels, long and short, with every kind of block; no weight at its starting zero."""
    torch.manual_seed(0)
    unet = ConditionedUNet(
        4, [WIDTH, WIDTH], [1, 2], [1, 2], [0, 1], [0, 1], attention_features=8, attention_heads=2, embedding_features=9,
        embedding_max_length=5, modulation_features=16,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return unet.requires_grad_(False)


def told(batch: int) -> Condition:
    """Random tokens."""
    return Condition(torch.zeros(batch, dtype=torch.bool), tokens=torch.randn(batch, 5, 9))


@torch.no_grad()
@pytest.mark.parametrize("batch, frames", [(1, 256), (2, 20), (3, 4096), (2, 6)])
def test_a_network_of_fast_blocks(unet, batch, frames):
    x, sigma, condition = torch.randn(batch, 4, frames), torch.linspace(0.1, 0.9, batch), told(batch)
    wanted = unet(x, sigma, condition)
    kinds = [type(block) for block in unet.modules()]
    with fast_inference(unet, large=0):
        found = Counter(type(block) for block in unet.modules())
        assert [found[kind] for kind in FAST] == [12, 1, 6, 6]
        torch.testing.assert_close(unet(x, sigma, condition), wanted, atol=1e-4, rtol=1e-4)
    assert [type(block) for block in unet.modules()] == kinds
    assert torch.equal(unet(x, sigma, condition), wanted)


@torch.no_grad()
def test_in_bfloat16_only_the_products_are_rounded(unet):
    x, sigma, condition = torch.randn(2, 4, 256), torch.tensor([0.3, 0.7]), told(2)
    wanted = unet(x, sigma, condition)
    with fast_inference(unet, "bf16", large=0):
        low = unet(x, sigma, condition)
    error = (low - wanted).std() / wanted.std()
    assert low.dtype == torch.float32 and 1e-4 < error < 0.02


def test_with_gradients_and_under_autocast_the_blocks_are_stock(unet):
    x, sigma, condition = torch.randn(1, 4, 16), torch.tensor([0.5]), told(1)
    wanted = unet(x, sigma, condition)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        wanted_low = unet(x, sigma, condition)
    with fast_inference(unet, large=0):
        x.requires_grad_()
        found = unet(x, sigma, condition)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        found.sum().backward()
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            assert torch.equal(unet(x, sigma, condition), wanted_low)
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_a_small_network_needs_no_compiled_loops(unet):
    with fast_inference(unet):
        assert not any(isinstance(block, FAST) for block in unet.modules())


@torch.no_grad()
@pytest.mark.parametrize("offset, scale", [(0.0, 1.0), (300.0, 1.0), (0.0, 1e-4), (0.0, 80.0)])
def test_norm_and_activation(offset, scale):
    block = nn.Sequential(nn.GroupNorm(4, WIDTH), nn.SiLU(), nn.Conv1d(WIDTH, WIDTH, 3, padding=1)).eval()
    block[0].weight.normal_(std=30)  # SiLU is told values from its one end to its other
    block[0].bias.normal_()
    x, residual = offset + scale * torch.randn(2, WIDTH, 36), torch.randn(2, WIDTH, 36)
    wanted = block.double()(x.double()).float() + residual
    block.float()
    use_fast_layers(block, large=0)
    assert type(block) is FastConvBlock
    torch.testing.assert_close(block(x, residual), wanted, atol=2e-3 if offset else 2e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch, frames", [(1, 1), (2, 7), (2, 300)])
def test_doubled_frames(bias, batch, frames):
    block = nn.Sequential(nn.Upsample(scale_factor=2.0, mode="nearest"), nn.Conv1d(WIDTH, 144, 3, padding=1, bias=bias))
    x = torch.randn(batch, WIDTH, frames)
    wanted = block(x)
    use_fast_layers(block, large=0)
    assert type(block) is FastDoubling
    torch.testing.assert_close(block(x), wanted, atol=1e-5, rtol=1e-5)


def test_other_upsampling_is_left_alone():
    block = nn.Sequential(nn.Upsample(scale_factor=4.0, mode="nearest"), nn.Conv1d(WIDTH, WIDTH, 3, padding=1))
    use_fast_layers(block, large=0)
    assert type(block) is nn.Sequential


def test_bfloat16_is_rounded_as_pytorch_rounds_it():
    x = torch.cat(
        [torch.randn(1, 2, 500), torch.tensor([0.0, -0.0, 1.00390625, 1.01171875, 3e38, 1e-40]).expand(1, 2, -1)], 2
    )
    stored = torch.empty(2, x.shape[2], dtype=torch.bfloat16)
    loops().patches(x.numpy(), NOTHING, False, 1, 1, 0, array(stored))
    assert torch.equal(stored, x[0].to(torch.bfloat16))
    back = np.empty((1, 2, x.shape[2]), dtype=np.float32)
    loops().outputs(array(stored), np.zeros(2, np.float32), NOTHING, back)
    assert np.array_equal(back[0], stored.float().numpy())


def test_the_loops_take_pytorchs_number_of_threads():
    import numba

    before = torch.get_num_threads()
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            torch.set_num_threads(threads)
            loops()
            assert numba.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
