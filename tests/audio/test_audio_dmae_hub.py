"""Autoencoder weights from hub folders: the stock class's own state dict in, the stock class's own numbers out."""

import sys
import types
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import save_file

import d2m.audio  # isort: skip  # noqa: F401  (torchaudio beside a CPU torch)
from audio_diffusion_pytorch import DiffusionAE, LTPlugin, UNetV0  # isort: skip
from audio_encoders_pytorch import ME1d, MelE1d, TanhBottleneck  # isort: skip
from d2m.audio.pretrained import (
    PUBLISHED_ARCHITECTURES,
    PUBLISHED_REPOSITORIES,
    hub_state,
    load_dmae,
    recognised,
    save_dmae,
    weights_file,
)
from d2m.core.checkpoint import build
from d2m.core.errors import BadConfig, BadInput

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = {"filters": 8, "modulation_features": 16}
ENCODERS = {"atc32_v3": {"channels": 16, "num_blocks": [1]}, "atc64_v2": {"channels": 16, "num_blocks": [1, 1]}}


def small(name: str) -> dict:
    """A published architecture, every width reduced."""
    config = PUBLISHED_ARCHITECTURES[name]
    levels = len(config["channels"])
    return {
        **config, **SMALL, "channels": [16] * levels, "items": [1] * levels,
        "encoder": {**config["encoder"], **ENCODERS[name]},
    }  # fmt: skip


class HubModel(torch.nn.Module):
    """What a hub folder's state dict is of: the stock autoencoder under the name `model`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        config = small(name)
        own = {key: value for key, value in config["encoder"].items() if key not in ("_target_", "sample_rate")}
        if name == "atc32_v3":
            encoder = MelE1d(
                bottleneck=TanhBottleneck(), mel_sample_rate=48000, mel_n_fft=1024, mel_hop_length=256,
                mel_win_length=1024, mel_normalize_log=True, **own,
            )  # fmt: skip
        else:
            encoder = ME1d(bottleneck=TanhBottleneck(), **own)
        net_t = LTPlugin(UNetV0, num_filters=8, window_length=config["window_length"], stride=config["stride"])
        self.model = DiffusionAE(
            net_t=net_t, in_channels=2, channels=config["channels"], factors=config["factors"], items=config["items"],
            inject_depth=4, encoder=encoder, modulation_features=16,
        )  # fmt: skip


def hub_model(name: str, seed: int = 0) -> HubModel:
    torch.manual_seed(seed)
    return HubModel(name).eval()


@pytest.fixture(scope="module", params=["atc32_v3", "atc64_v2"])
def case(request, tmp_path_factory) -> tuple[str, HubModel, Path]:
    """A published layout, the stock model, and its hub folder."""
    stock, folder = hub_model(request.param), tmp_path_factory.mktemp(request.param)
    (folder / "config.json").write_text('{"model_type": "archinetai"}')
    torch.save(stock.state_dict(), folder / "pytorch_model.bin")
    return request.param, stock, folder


@pytest.mark.parametrize("name", ["atc32_v3", "atc64_v2"])
def test_hydra_and_package_have_the_same_architectures(name):
    config = OmegaConf.to_container(OmegaConf.load(CONFIGS / "dmae" / f"{name}.yaml"), resolve=False)
    assert isinstance(config, dict)
    assert config["architecture"] == PUBLISHED_ARCHITECTURES[name]
    assert config["repo_id"] == PUBLISHED_REPOSITORIES[name] and config["name"] == name
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        assert compose("encode", [f"dmae={name}"]).dmae.weights == PUBLISHED_REPOSITORIES[name]
        assert compose("encode", [f"dmae={name}", "dmae.weights=folder"]).dmae.weights == "folder"
        assert compose("encode", [f"dmae={name}", "dmae.repo_id=me/mine"]).dmae.weights == "me/mine"


def test_encoding_and_decoding_are_the_stock_models(case):
    name, stock, folder = case
    dmae = load_dmae(folder, architecture=small(name))
    hop = 512 if name == "atc32_v3" else 1024
    assert dmae.clock.latent_hop_samples == hop and not dmae.training
    wave = 0.3 * torch.randn(1, 2, 16 * hop)
    with torch.no_grad():
        latent, theirs = dmae.encode(wave), stock.model.encode(wave)
    assert latent.shape == (1, 32, 16)
    torch.testing.assert_close(latent, theirs, atol=1e-5, rtol=1e-5)
    decoded = dmae.decode(latent, steps=3, generator=torch.Generator().manual_seed(1))
    reference = stock.model.decode(latent, num_steps=3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(decoded, reference, atol=1e-5, rtol=1e-5)


def test_the_layout_is_the_one_of_the_hub(case):
    name, _, folder = case
    heads = {".".join(key.split(".")[:2]) for key in torch.load(folder / "pytorch_model.bin", weights_only=True)}
    assert heads == {"model.net", "model.diffusion", "model.sampler", "model.encoder"}
    assert recognised(hub_state(folder / "pytorch_model.bin")) == name


@pytest.mark.parametrize(
    ("file", "prefix"),
    [
        ("model.safetensors", "model."),
        ("pytorch_model.bin", "module.model."),
        ("weights.pt", ""),
        ("last.ckpt", "autoencoder."),
    ],
)
def test_every_file_name_and_prefix_is_read(tmp_path, file, prefix):
    stock = hub_model("atc64_v2")
    state = {prefix + key.removeprefix("model."): weight.clone() for key, weight in stock.state_dict().items()}
    save_file(state, tmp_path / file) if file.endswith("safetensors") else torch.save(
        {"state_dict": state}, tmp_path / file
    )
    for given in (tmp_path, tmp_path / file):
        dmae = load_dmae(given, small("atc64_v2"))
        assert torch.equal(dmae.encoder.to_out.weight, stock.model.encoder.to_out.weight)


def test_one_copy_of_the_network_is_enough_and_three_that_differ_are_refused(tmp_path):
    stock = hub_model("atc64_v2")
    once = {k: v for k, v in stock.state_dict().items() if not k.startswith(("model.diffusion.", "model.sampler."))}
    torch.save(once, tmp_path / "pytorch_model.bin")
    assert load_dmae(tmp_path, small("atc64_v2")).autoencoder.net is not None
    differing = {key: weight.clone() for key, weight in stock.state_dict().items()}
    differing[next(key for key in differing if key.startswith("model.sampler."))] += 1
    torch.save(differing, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match="1 weights differ from their copies"):
        load_dmae(tmp_path, small("atc64_v2"))


def test_computed_tensors_may_be_missing_or_extra_and_are_used_where_given(tmp_path):
    stock = hub_model("atc32_v3")
    state = dict(stock.state_dict())
    filters, window = "model.encoder.mel.to_mel_scale.fb", "model.encoder.mel.to_spectrogram.window"
    del state[window]
    state[filters] = state[filters] * 2
    state["model.encoder.other.window"] = torch.ones(4)
    torch.save(state, tmp_path / "pytorch_model.bin")
    dmae = load_dmae(tmp_path, small("atc32_v3"))
    assert torch.equal(dmae.encoder.mel.to_mel_scale.fb, state[filters])
    assert torch.equal(dmae.encoder.mel.to_spectrogram.window, torch.hann_window(1024))


def test_missing_unexpected_and_reshaped_weights_are_named_in_one_sentence(tmp_path):
    state = dict(hub_model("atc64_v2").state_dict())
    del state["model.encoder.to_out.bias"]
    state["model.encoder.to_out.weight"] = torch.zeros(3, 3)
    state["model.extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput) as error:
        load_dmae(tmp_path, small("atc64_v2"))
    sentence = str(error.value)
    for part in (
        "1 missing (autoencoder.encoder.to_out.bias)",
        "1 unexpected (autoencoder.extra)",
        "1 of another shape",
    ):
        assert part in sentence
    assert "\n" not in sentence and "[3, 3] instead of [32," in sentence
    with pytest.raises(BadInput, match="look like those of atc64_v2"):  # the full-size one, by its shapes
        torch.save(hub_model("atc64_v2").state_dict(), tmp_path / "pytorch_model.bin")
        load_dmae(tmp_path, small("atc32_v3"))


def test_weights_of_no_known_autoencoder_need_their_architecture(tmp_path):
    torch.save({"model.encoder.a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match="not the weights of atc32_v3 or atc64_v2"):
        load_dmae(tmp_path)


def test_a_folder_without_weights_or_with_several_is_refused(tmp_path):
    with pytest.raises(BadConfig, match="found none, expected one weights file"):
        load_dmae(tmp_path)
    for name in ("a.pt", "b.pt"):
        torch.save({}, tmp_path / name)
    with pytest.raises(BadConfig, match="a.pt, b.pt"):
        weights_file(tmp_path)


def test_our_own_file_is_still_ours_and_a_bare_one_is_told_apart(tmp_path):
    config = small("atc64_v2")
    dmae = build(config, tmp_path)
    ours = load_dmae(save_dmae(dmae, config, tmp_path / "ours.safetensors"))
    assert ours.name == "atc64_v2"
    torch.testing.assert_close(ours.encoder.to_out.weight, dmae.encoder.to_out.weight.detach(), atol=1e-3, rtol=1e-3)
    (tmp_path / "broken.safetensors").write_bytes(b"hello")
    with pytest.raises(BadInput, match="not a d2m checkpoint"):
        load_dmae(tmp_path / "broken.safetensors")


@pytest.mark.parametrize("asked", ["atc64_v2", "archinetai/dmae1d-ATC64-v2", "no/such-folder"])
def test_without_the_hub_library_one_sentence_says_what_to_do(monkeypatch, asked):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BadConfig, match=r"huggingface_hub is not installed; .*dmae.weights=FOLDER") as error:
        load_dmae(asked)
    assert str(error.value).startswith(PUBLISHED_REPOSITORIES.get(asked, asked))


def test_a_hub_within_reach_is_asked_and_one_out_of_reach_is_reported(monkeypatch, case):
    name, stock, folder = case
    asked = []

    def snapshot_download(repo_id: str, allow_patterns: list[str]) -> str:
        asked.append(repo_id)
        if repo_id != PUBLISHED_REPOSITORIES[name]:
            raise ConnectionError("no route\nto host")
        return str(folder)

    library = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)  # the library itself may not be installed here
    dmae = load_dmae(name, small(name))
    assert torch.equal(dmae.encoder.to_out.weight, stock.model.encoder.to_out.weight)
    with pytest.raises(BadConfig, match="no/such: .*ConnectionError: no route to host.*check the name and the network"):
        load_dmae("no/such")
    assert asked == [PUBLISHED_REPOSITORIES[name], "no/such"]


def test_names_that_are_neither_file_nor_repository_are_refused():
    with pytest.raises(BadConfig, match="no such checkpoint"):
        load_dmae("nothing")
    with pytest.raises(BadConfig, match="no such checkpoint"):
        load_dmae("folder/nothing.safetensors")
