"""The U-Net: published parameter counts, keys, and that it listens to every part of the condition."""

from pathlib import Path
from types import SimpleNamespace

import hydra
import jaxtyping
import pytest
import torch
from omegaconf import OmegaConf

from d2m.models.conditioner import Condition
from d2m.models.unet import ConditionedUNet
from d2m.training.run import compile_network

CONFIGS = Path(__file__).parents[2] / "configs" / "system"


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def published():
    with torch.device("meta"):
        return hydra.utils.instantiate(OmegaConf.load(CONFIGS / "published.yaml"))


def test_published_counts(published):
    assert parameters(published.unet) == 246_215_015
    assert parameters(published.conditioner) == 6_822_748


def test_published_keys_are_those_of_unetv0_with_guidance_plugin(published):
    keys = list(published.unet.state_dict())
    assert len(keys) == 756 and keys[0] == "net.blocks.0.weights"
    assert published.unet.state_dict()["net.blocks.2.blocks.0.blocks.0.weight"].shape == (357, 219)


def test_fused_variant_counts():
    config = OmegaConf.load(CONFIGS / "published.yaml")
    config.conditioner.fusion = {"_target_": "d2m.models.encoders.TokenFusion"}
    config.unet.embedding_features, config.unet.embedding_max_length = 768, 64
    with torch.device("meta"):
        system = hydra.utils.instantiate(config)
    assert parameters(system.unet) == 264_210_752
    assert parameters(system.conditioner) == 7_060_316


@pytest.mark.parametrize("name", ["aligned", "published_small"])
def test_demo_sizes(name):
    with torch.device("meta"):
        system = hydra.utils.instantiate(OmegaConf.load(CONFIGS / f"{name}.yaml"))
    assert 4e6 < parameters(system.unet) < 8e6
    assert 0.5e6 < parameters(system.conditioner) < 1.5e6


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return ConditionedUNet(
        4, [16, 24], [1, 2], [1, 1], [0, 1], context_channels=[8, 8], input_channels=4,
        attention_features=8, attention_heads=2, modulation_features=16,
    )  # fmt: skip


def told():
    return Condition(
        torch.zeros(2, dtype=torch.bool),
        levels=(torch.randn(2, 8, 32), torch.randn(2, 8, 16)),
        input_channels=torch.randn(2, 4, 32),
        features=torch.randn(2, 16),
    )


@pytest.mark.parametrize("part", ["levels", "input_channels", "features"])
def test_every_part_of_the_condition_changes_the_answer(unet, part):
    x, sigma, condition, other = torch.randn(2, 4, 32), torch.tensor([0.2, 0.8]), told(), told()
    changed = Condition(**{**vars(condition), part: getattr(other, part)})
    assert (unet(x, sigma, condition) - unet(x, sigma, changed)).abs().max() > 1e-4


def test_every_parameter_gets_a_gradient(unet):
    unet(torch.randn(2, 4, 32), torch.tensor([0.2, 0.8]), told()).square().sum().backward()
    assert not [name for name, parameter in unet.named_parameters() if parameter.grad is None]


def test_it_can_be_compiled_and_answers_the_same(unet):
    x, sigma, condition = torch.randn(2, 4, 32), torch.tensor([0.2, 0.8]), told()
    names, expected = list(unet.state_dict()), unet(x, sigma, condition)
    jaxtyping.config.update("jaxtyping_disable", True)  # the type checker of the tests cannot be traced
    try:
        compile_network(SimpleNamespace(unet=unet), {"backend": "eager"})
        torch.testing.assert_close(unet(x, sigma, condition), expected)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert list(unet.state_dict()) == names


def test_frame_modulation_starts_as_the_identity(unet):
    projections = [weight for name, weight in unet.named_parameters() if "to_scale_shift" in name and weight.ndim == 3]
    assert projections and all((weight == 0).all() for weight in projections)


def test_a_length_that_does_not_halve_is_refused(unet):
    with pytest.raises(ValueError, match="multiple of 2 latent frames, not 33"):
        unet(torch.randn(1, 4, 33), torch.tensor([0.5]), told().rows(slice(1)))


def test_dropped_rows_get_null_tokens():
    net = ConditionedUNet(
        4, [16], [1], [1], cross_attentions=[1], attention_features=8, attention_heads=2,
        embedding_features=6, embedding_max_length=5, modulation_features=16,
    )  # fmt: skip
    x, sigma = torch.randn(1, 4, 8).repeat(2, 1, 1), torch.full((2,), 0.5)
    answers = net(x, sigma, Condition(torch.tensor([True, False]), tokens=torch.randn(2, 5, 6)))
    again = net(x, sigma, Condition(torch.tensor([True, False]), tokens=torch.randn(2, 5, 6)))
    torch.testing.assert_close(answers[0], again[0])
    assert (answers[1] - again[1]).abs().max() > 1e-5
