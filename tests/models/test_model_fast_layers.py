"""The fast layers: the numbers of PyTorch's own, forwards and backwards, under the same names, and back again."""

import pytest
import torch
from torch import nn

from d2m.audio.autoencoder import DMAE, magnitude_encoder
from d2m.benchmark.stock import StockSystem
from d2m.diffusion.guidance import guided
from d2m.diffusion.samplers import ddim
from d2m.models.conditioner import Condition
from d2m.models.fast_convolution import long_convolution, transformed_kernel
from d2m.models.fast_network import (
    LARGE_PARAMETERS,
    FastConv1d,
    FastConvTranspose1d,
    FastLinear,
    fast_inference,
    use_fast_layers,
    use_fast_linear,
    use_stock_layers,
)
from d2m.models.unet import ConditionedUNet

UNET = {
    "in_channels": 4, "channels": [32, 256], "factors": [1, 2], "items": [1, 2], "attentions": [0, 1],
    "cross_attentions": [1, 1], "attention_features": 8, "attention_heads": 2, "embedding_features": 219,
    "embedding_max_length": 13, "modulation_features": 16, "resnet_groups": 8,
}  # fmt: skip
ENCODER = {"frames": 12, "depth": 1, "heads": 2, "head_features": 8, "hidden": 16, "dropout": 0.0}


@pytest.fixture(scope="module")
def pair():
    """The stock system, and our U-Net with the same weights."""
    torch.manual_seed(0)
    stock, unet = StockSystem(UNET, ENCODER).eval(), ConditionedUNet(**UNET).eval()
    with torch.no_grad():
        for parameter in stock.diffusion.net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    unet.load_state_dict(stock.unet_state())
    return stock, unet


@pytest.mark.parametrize("shape", [(5, 24), (2, 7, 24), (1, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_its_gradients(shape, bias):
    plain = nn.Linear(24, 40, bias=bias)
    fast = nn.Linear(24, 40, bias=bias)
    fast.load_state_dict(plain.state_dict())
    use_fast_linear(fast)
    x, y = torch.randn(shape, requires_grad=True), torch.randn(*shape[:-1], 40)
    z = x.detach().clone().requires_grad_()
    (plain(x) * y).sum().backward()
    (fast(z) * y).sum().backward()
    assert type(fast) is FastLinear
    torch.testing.assert_close(plain(x), fast(z), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x.grad, z.grad, atol=1e-5, rtol=1e-5)
    for mine, its in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.grad, atol=1e-5, rtol=1e-5)


def test_linear_of_a_transposed_input_and_under_autocast():
    plain = nn.Linear(24, 40)
    x = torch.randn(2, 24, 7).transpose(1, 2)
    wanted = plain(x)
    with torch.autocast("cpu", torch.bfloat16):
        wanted_low = plain(x)
    use_fast_linear(plain)
    torch.testing.assert_close(plain(x), wanted, atol=1e-5, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert plain(x).dtype == torch.bfloat16
        torch.testing.assert_close(plain(x), wanted_low)


@pytest.mark.parametrize(
    "kernel, stride, padding, frames", [(1, 1, 0, 8), (3, 1, 1, 8), (3, 1, 1, 1), (2, 2, 0, 8), (3, 1, 1, 200)]
)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("large", [0, LARGE_PARAMETERS])
def test_convolution(kernel, stride, padding, frames, batch, large):
    layer = nn.Conv1d(256, 264, kernel, stride=stride, padding=padding)
    x = torch.randn(batch, 256, frames)
    with torch.no_grad():
        wanted = layer(x)
        use_fast_layers(layer, large)
        assert type(layer) is FastConv1d and layer.weight.shape == (264, 256, kernel) and layer.looped == (large == 0)
        torch.testing.assert_close(layer(x), wanted, atol=1e-4, rtol=1e-4)
    layer(x).sum().backward()  # with a gradient: PyTorch's own path
    assert layer.weight.grad is not None


@torch.no_grad()
@pytest.mark.parametrize("batch, frames", [(1, 256), (3, 260)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_long_convolution(batch, frames, bias, kernel):
    layer = nn.Conv1d(256, 264, kernel, padding=kernel // 2, bias=bias)
    x = torch.randn(batch, 256, frames)
    wanted = layer(x)
    use_fast_layers(layer, large=0)
    torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-5)
    assert (layer.transformed is not None) == (kernel == 3) and "transformed" not in layer.state_dict()
    layer.weight.mul_(2)  # the transformed kernel follows
    again = layer(x) - (0 if layer.bias is None else layer.bias[:, None])
    torch.testing.assert_close(
        again, 2 * (wanted - (0 if layer.bias is None else layer.bias[:, None])), atol=1e-4, rtol=1e-4
    )
    use_stock_layers(layer)
    assert "transformed" not in vars(layer) and layer.weight.is_contiguous()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel, stride", [(8, 8), (8, 4)])
def test_the_waveforms_last_layer(bias, kernel, stride):
    layer = nn.ConvTranspose1d(6, 2, kernel, stride, bias=bias)
    x = torch.randn(3, 6, 10)
    with torch.no_grad():
        wanted = layer(x)
        use_fast_layers(layer)
        assert isinstance(layer, FastConvTranspose1d) == (kernel == stride)  # overlapping frames stay with PyTorch
        torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-5)
    assert layer(x).requires_grad  # with gradients it is PyTorch's
    use_stock_layers(layer)
    assert type(layer) is nn.ConvTranspose1d
    with fast_inference(layer), torch.no_grad():
        torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-5)
    assert type(layer) is nn.ConvTranspose1d


@torch.no_grad()
def test_winograd_is_exact_where_numbers_are():
    x, weight = torch.randint(-4, 5, (2, 3, 12)).float(), 24.0 * torch.randint(-3, 4, (5, 3, 3))
    found = long_convolution(x, weight, transformed_kernel(weight), None)
    torch.testing.assert_close(found, nn.functional.conv1d(x, weight, padding=1), atol=0, rtol=0)


@torch.no_grad()
def test_the_diffusion_decoder_gives_the_stock_numbers():
    torch.manual_seed(0)
    encoder = magnitude_encoder(
        in_channels=2, channels=8, multipliers=[1, 1], factors=[2], num_blocks=[1], stft_num_fft=63, stft_hop_length=16,
        out_channels=4,
    )  # fmt: skip
    dmae = DMAE("tiny", 8000, 2, encoder, 16, 16, 16, [256, 256], [1, 2], [1, 1], 1, modulation_features=16).eval()
    latent = torch.randn(1, 4, 256).clamp(-1, 1)
    before = {key: value.clone() for key, value in dmae.state_dict().items()}
    wanted = dmae.decode(latent, 3, torch.Generator().manual_seed(0))
    use_fast_layers(dmae, large=0)
    found = dmae.decode(latent, 3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert any(getattr(layer, "transformed", None) is not None for layer in dmae.modules())
    assert dmae.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in dmae.state_dict().items())


def test_convolutions_that_do_not_fit_are_left_alone():
    layers = nn.Sequential(
        nn.Conv1d(256, 256, 3, padding=1, dilation=2), nn.Conv1d(256, 256, 3, groups=2), nn.Conv1d(8, 8, 3),
        nn.Conv1d(256, 256, 3, padding=1, padding_mode="reflect"),
    )  # fmt: skip
    use_fast_layers(layers)
    assert all(type(layer) is nn.Conv1d for layer in layers)


def test_names_stay_and_stock_layers_come_back(pair):
    _, unet = pair
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    with fast_inference(unet, large=0):
        assert any(type(layer) is FastConv1d for layer in unet.modules())
        inside = unet.state_dict()
        assert list(inside) == list(before)
        assert all(torch.equal(inside[key], before[key]) for key in before)
    assert not any(type(layer) is FastConv1d for layer in unet.modules())
    assert any(type(layer) is FastLinear for layer in unet.modules())
    assert all(parameter.is_contiguous() for parameter in unet.parameters())
    use_stock_layers(unet)
    assert not any(type(layer) is FastLinear for layer in unet.modules())
    use_fast_linear(unet)
    assert all(torch.equal(unet.state_dict()[key], before[key]) for key in before)


def test_sampling_gives_the_stock_packages_numbers(pair):
    stock, unet = pair
    tokens, noise = torch.randn(1, 13, 219), torch.randn(1, 4, 16)
    wanted = stock.sample(tokens, noise, steps=5, guidance=3.0)
    condition = Condition(torch.tensor([False]), tokens=tokens)
    null = Condition(torch.tensor([True]), tokens=tokens)
    plain = ddim(guided(unet, condition, null, 3.0), noise, 5)
    with fast_inference(unet, large=0):
        prepared = guided(unet, unet.prepared(condition), unet.prepared(null), 3.0)
        fast = ddim(prepared, noise, 5)
    torch.testing.assert_close(plain, wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fast, wanted, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("large", [0, LARGE_PARAMETERS])
def test_bfloat16_weights_are_close_and_leave_no_trace(pair, large):
    _, unet = pair
    x, sigma = torch.randn(1, 4, 16), torch.tensor([0.4])
    condition = Condition(torch.tensor([False]), tokens=torch.randn(1, 13, 219))
    wanted = unet(x, sigma, condition)
    with fast_inference(unet, "bf16", keep=lambda name: name.endswith("to_out"), large=large):
        assert any(parameter.dtype == torch.bfloat16 for parameter in unet.parameters())
        low = unet(x, sigma, condition)
    assert low.dtype == torch.float32 and 0 < (low - wanted).abs().max() < 0.1 * wanted.abs().max()
    assert torch.equal(unet(x, sigma, condition), wanted)


@torch.no_grad()
def test_prepared_keys_and_values(pair):
    _, unet = pair
    x, sigma = torch.randn(3, 4, 16), torch.tensor([0.1, 0.5, 0.9])
    condition = Condition(torch.tensor([False, True, False]), tokens=torch.randn(3, 13, 219))
    prepared = unet.prepared(condition)
    assert prepared.keys_values is not None and unet.prepared(prepared) is prepared
    assert sum(part[0].numel() for part in prepared.keys_values) * 4 == unet.keys_values_bytes(condition)
    torch.testing.assert_close(unet(x, sigma, prepared), unet(x, sigma, condition), atol=1e-5, rtol=1e-5)
    rows = prepared.rows(slice(1, 3))
    torch.testing.assert_close(
        unet(x[1:], sigma[1:], rows), unet(x[1:], sigma[1:], condition.rows(slice(1, 3))), atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
@pytest.mark.parametrize("through_data", [False, True])
def test_null_keys_and_values_follow_the_weights(pair, through_data):
    _, unet = pair
    null = Condition(torch.tensor([True, True]), tokens=torch.randn(2, 13, 219))
    first = unet.prepared(null).keys_values
    again = unet.prepared(null).keys_values
    assert first[0].data_ptr() == again[0].data_ptr()
    weight = next(w for name, w in unet.named_parameters() if name.endswith("to_kv.weight") and w.shape[1] == 219)
    before = weight.clone()
    if through_data:
        weight.data = weight.data * 2
    else:
        weight.mul_(2)
    changed = unet.prepared(null).keys_values
    assert any((mine - its).abs().max() > 1e-4 for mine, its in zip(changed, first, strict=True))
    weight.data = before
