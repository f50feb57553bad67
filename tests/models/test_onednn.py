"""oneDNN's linear layers: the numbers of PyTorch's own, forwards and backwards, under the same names."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from d2m.diffusion.guidance import guided
from d2m.diffusion.samplers import ddim
from d2m.models import onednn
from d2m.models.conditioner import Condition
from d2m.models.onednn import has_bfloat16, has_onednn, use_onednn
from d2m.models.unet import ConditionedUNet

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from benchmark.stock import StockSystem

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
    use_onednn(fast)
    x, y = torch.randn(shape, requires_grad=True), torch.randn(*shape[:-1], 40)
    z = x.detach().clone().requires_grad_()
    (plain(x) * y).sum().backward()
    (fast(z) * y).sum().backward()
    assert type(fast) is nn.Linear and list(fast.state_dict()) == list(plain.state_dict())
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
    use_onednn(plain)
    torch.testing.assert_close(plain(x), wanted, atol=1e-5, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert plain(x).dtype == torch.bfloat16
        torch.testing.assert_close(plain(x), wanted_low)


def test_a_layer_without_onednn_is_pytorchs(monkeypatch):
    plain, x = nn.Linear(24, 40), torch.randn(3, 24)
    wanted = plain(x)
    use_onednn(plain)
    monkeypatch.setattr(onednn, "_product", None)  # fails where it is called
    monkeypatch.setattr(onednn, "has_onednn", lambda: False)
    assert torch.equal(plain(x), wanted)


def test_bfloat16_is_asked_of_the_machine(monkeypatch):
    def refuses(*_):
        raise RuntimeError("could not create a primitive descriptor for a matmul primitive")

    here = has_onednn() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert has_bfloat16.__wrapped__() == here
    monkeypatch.setattr(onednn, "_product", refuses)
    assert not has_bfloat16.__wrapped__()


def test_sampling_gives_the_stock_packages_numbers(pair):
    stock, unet = pair
    tokens, noise = torch.randn(1, 13, 219), torch.randn(1, 4, 16)
    wanted = stock.sample(tokens, noise, steps=5, guidance=3.0)
    condition = Condition(torch.tensor([False]), tokens=tokens)
    null = Condition(torch.tensor([True]), tokens=tokens)
    plain = ddim(guided(unet, condition, null, 3.0), noise, 5)
    prepared = ddim(guided(unet, unet.prepared(condition), unet.prepared(null), 3.0), noise, 5)
    torch.testing.assert_close(plain, wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(prepared, wanted, atol=1e-4, rtol=1e-4)


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
