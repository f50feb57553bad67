"""Where music is made: on another device than the CPU nothing is left behind; in bfloat16 nearly the same numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tests_support_device import ELSEWHERE, is_there, without_numbers
from tests_support_motion import swinging_features

from d2m.audio.pretrained import save_dmae
from d2m.core.errors import BadConfig
from d2m.core.timeline import Timeline
from d2m.models import device as device_module
from d2m.models.device import DeviceConfig, choose_device, prefers_bfloat16
from d2m.models.encoders import TemporalEncoder
from d2m.models.motion_reader import MotionReader
from d2m.models.token_decoder import TokenDecoder
from d2m.models.wavenet import WaveNet
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.systems.codec_transformer import CodecGenerator, CodecTransformer
from d2m.systems.interface import GenerationRequest, MusicGenerator
from d2m.systems.latent_generator import LatentGenerator
from d2m.systems.wavenet import WaveNetGenerator, WaveNetSystem

CONFIGS = Path(__file__).parents[2] / "configs"
FRAMES = 500  # of motion: more than one window
CPU = torch.device("cpu")


def dance(frames: int = FRAMES) -> Dance:
    return Dance(swinging_features(frames).numpy(), "swinging")


def reader() -> MotionReader:
    return MotionReader(TemporalEncoder(16, (1, 2), attention_blocks=0))


@pytest.mark.parametrize(("checkpoint", "settings"), [("demo", {"steps": 2}), ("demo_fast", {"tempo_bpm": 100})])
def test_latent_diffusion_leaves_nothing_behind(checkpoint: str, settings: dict[str, Any]) -> None:
    model = Dance2Music.load(checkpoint)
    model.music_generator.on(ELSEWHERE)
    assert is_there(model.system) and is_there(model.music_generator.dmae)
    with without_numbers():
        music, record = model.generate(dance(), **settings)
    assert music.waveform.shape == (2, round(FRAMES * 44100 / 60)) and isinstance(music.waveform, np.ndarray)
    assert (record.settings["device"], record.settings["precision"]) == ("meta", "bf16")
    with without_numbers():
        together = model.generate_together([dance(), dance(200)], steps=2, batch=3)
    assert [music.waveform.shape[1] for music, _ in together] == [round(n * 44100 / 60) for n in (FRAMES, 200)]


def test_a_diffusion_decoder_leaves_nothing_behind(tmp_path: Path) -> None:
    architecture = OmegaConf.to_container(OmegaConf.load(CONFIGS / "dmae" / "small.yaml"), resolve=True)["architecture"]  # pyright: ignore
    architecture["encoder"].update(channels=16, num_blocks=[1])
    architecture.update(filters=8, channels=[16] * 5, items=[1] * 5, modulation_features=16)
    dmae = save_dmae(instantiate(architecture, _convert_="all"), architecture, tmp_path / "small.safetensors")
    config = OmegaConf.load(CONFIGS / "system" / "aligned.yaml")
    config.unet.in_channels, config.unet.channels = 32, [16, 16, 16, 16]
    config.clock.sample_rate, config.clock.latent_hop_samples = 22050, 512
    music_generator = LatentGenerator(instantiate(config), {"dmae": str(dmae)})
    music_generator.on(ELSEWHERE)
    with without_numbers():
        made = music_generator.generate(
            GenerationRequest(swinging_features(200), 3, 70_000, settings={"steps": 2, "decoder": "diffusion"})
        )
    assert made.settings["decoder"] == "diffusion" and made.waveform.shape[0] == 1 and made.waveform.shape[1] >= 70_000


def test_an_edit_leaves_nothing_behind(two_clips: Path) -> None:
    model = Dance2Music.load("demo")
    model.music_generator.on(ELSEWHERE)
    song, old = next((two_clips / "wavs").glob("*.wav")), next((two_clips / "motions").glob("*.pkl"))
    with without_numbers():
        music, _ = model.generate(dance(), steps=2, edit=str(song), edit_dance=str(old))
    assert music.waveform.shape == (2, round(FRAMES * 44100 / 60))


def composers() -> dict[str, MusicGenerator]:
    torch.manual_seed(0)
    wavenet = WaveNetSystem(reader(), WaveNet(18, 80, 8, 8, (1, 2, 4), 1), 4000, 2, 0.4)
    decoder = TokenDecoder(4, 1024, 18, 16, layers=1, heads=2)
    transformer = CodecTransformer(reader(), decoder, Timeline(44100, 1024, 40))
    return {"wavenet": WaveNetGenerator(wavenet, {}), "codec": CodecGenerator(transformer, {"codec": "demo"})}


@pytest.mark.parametrize("name", ["wavenet", "codec"])
def test_other_systems_leave_nothing_behind(name: str) -> None:
    music_generator = composers()[name]
    music_generator.on(ELSEWHERE)
    features = swinging_features(90)
    with without_numbers():
        assert 40 < music_generator.read(features).beats.grid.bpm < 240
        made = music_generator.generate(GenerationRequest(features, None, 300))
        assert made.genre_probabilities.device == CPU
    assert made.waveform.device == CPU and made.waveform.dtype == torch.float32 and made.waveform.shape[1] >= 300


@pytest.fixture(params=["bfloat16 here", "none here", "as it is here"])
def bfloat16_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether this machine has bfloat16: declared so (PyTorch has a slow way without), declared absent, or asked."""
    if request.param != "as it is here":
        monkeypatch.setattr(device_module, "has_bfloat16", lambda: request.param == "bfloat16 here")
    return device_module.has_bfloat16()


def test_bfloat16_on_a_cpu_is_nearly_the_same(bfloat16_here: bool, capsys: pytest.CaptureFixture) -> None:
    exact, low = Dance2Music.load("demo"), Dance2Music.load("demo", precision="bf16")
    one, two = (model.generate(dance(200), seed=1, steps=4) for model in (exact, low))
    assert (one[1].settings["precision"], two[1].settings["precision"]) == (
        "exact",
        "bf16" if bfloat16_here else "exact",
    )
    if bfloat16_here:
        difference = np.abs(one[0].waveform - two[0].waveform).mean()
        assert 0 < difference < 0.2 * np.abs(one[0].waveform).mean()
    else:
        np.testing.assert_array_equal(one[0].waveform, two[0].waveform)
        assert "precision=bf16: this processor has no bfloat16; float32" in capsys.readouterr().err


def test_exact_after_bfloat16_is_exact_again() -> None:
    model = Dance2Music.load("demo")
    before, _ = model.generate(dance(200), seed=1, steps=2)
    model.music_generator.on(DeviceConfig(CPU, "bf16"))
    low, _ = model.generate(dance(200), seed=1, steps=2)
    model.music_generator.on(DeviceConfig())
    after, _ = model.generate(dance(200), seed=1, steps=2)
    assert not np.array_equal(before.waveform, low.waveform)
    np.testing.assert_array_equal(before.waveform, after.waveform)


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    assert not choose_device(compiled=True).compiled
    assert "compile=true: no C++ compiler" in capsys.readouterr().err
    monkeypatch.setattr(device_module, "has_compiler", lambda: True)
    assert choose_device(compiled=True).compiled


@pytest.mark.parametrize("name", ["wavenet", "codec"])
def test_others_have_no_bfloat16_on_a_cpu(name: str) -> None:
    music_generator = composers()[name]
    assert not music_generator.has_bfloat16_on_cpu
    with pytest.raises(BadConfig, match="precision=bf16: a .* makes music in float32 on a CPU; say precision=exact"):
        music_generator.on(DeviceConfig(CPU, "bf16"))
    for device in (CPU, ELSEWHERE.device):
        with pytest.raises(BadConfig, match="compile=true: the networks of a .* are not compiled; leave it out"):
            music_generator.on(DeviceConfig(device, compiled=True))


def test_a_system_that_knows_the_cpu_only_says_so() -> None:
    class Humming(MusicGenerator):
        def generate(self, request):
            return request

    Humming().on(DeviceConfig())
    with pytest.raises(BadConfig, match="device=meta, precision=bf16: Humming makes music on a CPU in float32 only"):
        Humming().on(ELSEWHERE)


def test_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "has_bfloat16", lambda: True)
    monkeypatch.setattr(device_module, "has_compiler", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == choose_device("auto") == DeviceConfig()
    for faster, precision in ((True, "bf16"), (False, "exact")):
        monkeypatch.setattr(device_module, "prefers_bfloat16", lambda device, answer=faster: answer)
        assert choose_device(precision="auto").precision == precision
        assert choose_device(precision="auto", has_bfloat16_on_cpu=False).precision == "exact"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto", "bf16", True) == DeviceConfig(torch.device("cuda"), "bf16", True)
    with pytest.raises(BadConfig, match="device=cuda:1: this PyTorch sees 1 GPUs; say device=cpu"):
        choose_device("cuda:1")
    for unknown in ("gpu", "xla"):
        with pytest.raises(BadConfig, match=f"device={unknown}: unknown; expected cpu, cuda, cuda:N, mps or auto"):
            choose_device(unknown)
    with pytest.raises(BadConfig, match="precision=fp16: unknown; expected exact, bf16, auto"):
        choose_device(precision="fp16")


def test_bfloat16_is_preferred_where_it_is_measured_to_be_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(low: float):  # a clock by which float32 takes a second and bfloat16 `low`
        times = [0.0]
        for step in (1.0, low) * 6:
            times += [times[-1], times[-1] + step]
        return iter(times[1:]).__next__

    monkeypatch.setattr(device_module, "has_bfloat16", lambda: True)
    monkeypatch.setattr(device_module, "_PROBE", (2, 2, 2))
    for low, answer in ((0.5, True), (0.9, False), (2.0, False)):
        monkeypatch.setattr(device_module.time, "perf_counter", seconds(low))
        assert prefers_bfloat16(CPU) is answer
    monkeypatch.setattr(device_module, "has_bfloat16", lambda: False)
    assert not prefers_bfloat16(CPU)


def test_apples_gpu_makes_music_where_there_is_one_and_is_refused_in_one_sentence_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if torch.backends.mps.is_available():
        music, record = Dance2Music.load("demo", device="mps").generate(dance(200), seed=1, steps=4)
        exact, _ = Dance2Music.load("demo").generate(dance(200), seed=1, steps=4)
        assert record.settings["device"] == "mps"
        np.testing.assert_allclose(music.waveform, exact.waveform, atol=0.05)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BadConfig, match="device=mps: this machine or this PyTorch has no Apple GPU; say device=cpu"):
        choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps") == DeviceConfig(torch.device("mps"))
    with pytest.raises(BadConfig, match="precision=bf16: on device=mps networks run in float32; leave it out"):
        choose_device("mps", "bf16")
