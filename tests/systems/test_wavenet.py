"""WaveNet: causal and shifted, the fast way equal to the slow one, told by the motion; and the whole path to music."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from tests_support_sounding import NAMES, moving, write_sounding
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from d2m.core.checkpoint import load_checkpoint
from d2m.core.errors import BadConfig
from d2m.data.layout import DataSetLayout
from d2m.models.encoders import TemporalEncoder
from d2m.models.modality_readers import FrameReader, read_whole
from d2m.models.motion_reader import MotionRead, MotionReader
from d2m.models.wavenet import SILENCE, UPSAMPLINGS, FrameUpsampler, WaveNet, held, mu_law_decoded, mu_law_encoded
from d2m.models.wavenet_generation import CachedWaveNet, CompiledWaveNet, drawn, generated_codes
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid
from d2m.systems import wavenet
from d2m.systems.interface import GenerationRequest
from d2m.systems.wavenet import WaveNetGenerator, WaveNetSystem
from d2m.training.run import fit

CONFIGS = str(Path(__file__).parents[2] / "configs")
TOLD, HOP = 6, 20


def network(dilations: tuple[int, ...] = (1, 2, 4), upsampling: str = "linear", seed: int = 0) -> WaveNet:
    """A tiny one whose weights are large enough that everything counts."""
    torch.manual_seed(seed)
    net = WaveNet(TOLD, HOP, 10, 9, dilations, stacks=2, style=4, upsampling=upsampling).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return net


def example(samples: int = 160, rows: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, local condition with a frame more at each end, genres."""
    torch.manual_seed(1)
    told = torch.randn(rows, TOLD, samples // HOP + 2)
    return torch.randint(256, (rows, samples)), told, torch.tensor([3, 10])[:rows]


def test_mu_law_is_inverse_on_codes_and_finer_near_silence() -> None:
    codes = torch.arange(256)
    amplitude = mu_law_decoded(codes)
    assert torch.equal(mu_law_encoded(amplitude), codes)
    assert amplitude[0] == -1 and amplitude[-1] == 1 and bool((amplitude.diff() > 0).all())
    assert amplitude.diff()[128] < 1e-3 < 0.03 < amplitude.diff()[-1]
    assert mu_law_encoded(torch.tensor([0.0, 7.0, -7.0])).tolist() == [SILENCE, 255, 0]
    wave = torch.linspace(-1, 1, 999)
    assert ((mu_law_decoded(mu_law_encoded(wave)) - wave).abs() < 0.003 + 0.025 * wave.abs()).all()


@torch.no_grad()
def test_a_sample_sees_those_before_it_only() -> None:
    net, (codes, told, genre) = network(), example()
    changed = codes.clone()
    changed[:, 100] = (codes[:, 100] + 128) % 256
    difference = (net(changed, told, genre) - net(codes, told, genre)).abs().amax(dim=(0, 1))
    assert difference[:101].max() == 0  # not even its own
    reached = difference.nonzero()[:, 0]
    assert reached.min() == 101 and reached.max() == 100 + net.receptive_field == 100 + 15


@torch.no_grad()
def test_the_condition_acts_at_its_moment() -> None:
    net, (codes, told, genre) = network(), example()
    before, changed = net(codes, told, genre), told.clone()
    changed[..., 5] += (
        1  # a frame is held before the first: this is frame 4, samples 80 to 99, heard half a frame around
    )
    reached = (net(codes, changed, genre) - before).abs().amax(dim=(0, 1)).nonzero()[:, 0]
    assert reached.min() == 70 and reached.max() == 109 + sum(net.dilations[1:])
    assert not torch.allclose(net(codes, told, genre.flip(0)), before, atol=1e-3)


def test_linear_upsampling_is_interpolation_between_centres() -> None:
    frames = torch.randn(1, 1, 7, generator=torch.Generator().manual_seed(0))
    made = FrameUpsampler(8)(frames, 40)[0, 0]
    centres = (np.arange(-1, 6) + 0.5) * 8
    assert np.allclose(made, np.interp(np.arange(40) + 0.5, centres, frames[0, 0]), atol=1e-6)
    learned = FrameUpsampler(8, "transposed")
    assert torch.allclose(learned(frames, 40)[0, 0], made)
    learned(frames, 40).square().sum().backward()
    assert learned.kernel.grad is not None and learned.kernel.grad.abs().min() > 0


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@torch.no_grad()
def test_the_fast_way_equals_the_slow_way(upsampling: str) -> None:
    """Every sample drawn by the whole network over the whole piece, and by both cached ways; the dance ends early."""
    net, samples = network(upsampling=upsampling), 90
    if upsampling == "transposed":
        net.upsampler.kernel.mul_(1 + 0.3 * torch.randn_like(net.upsampler.kernel))
    told, genre = torch.randn(2, TOLD, 3), torch.tensor([3, 10])
    uniforms = torch.rand(2, samples, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    around = torch.cat([told[..., :1], told, told[..., -1:].expand(-1, -1, 3)], dim=-1)
    codes, expected = torch.zeros(2, samples, dtype=torch.long), []
    for t in range(samples):
        expected.append(net(codes, around, genre)[..., t])
        codes[:, t] = drawn(expected[-1], uniforms[:, t], 0.9)
    logits = torch.stack(expected, dim=1)
    assert logits.std() > 0.1 and len(codes.unique()) > 40

    cached = CachedWaveNet(net, told, genre)
    made = []
    for t in range(samples):
        made.append(cached.logits())
        cached.code = codes[:, t]
    assert torch.allclose(torch.stack(made, dim=1), logits, atol=1e-5)
    again = CachedWaveNet(net, told, genre)
    assert torch.equal(
        torch.cat([again.codes(uniforms[:, :50], 0.9), again.codes(uniforms[:, 50:], 0.9)], dim=1), codes
    )

    for row in range(2):
        compiled = CompiledWaveNet(net, told[row], int(genre[row]))
        parts = [compiled.codes_and_logits(part.numpy(), 0.9) for part in uniforms[row].split(50)]
        assert np.array_equal(np.concatenate([part[0] for part in parts]), codes[row])
        assert np.allclose(np.concatenate([part[1] for part in parts]), logits[row], atol=1e-5)


@torch.no_grad()
def test_a_sample_costs_the_same_however_far_the_network_sees() -> None:
    told, genre, counts, caches = torch.randn(1, TOLD, 3), torch.tensor([0]), [], []
    for dilations in ((1, 2, 4), (64, 256, 512)):
        net = network(dilations)
        made = CachedWaveNet(net, told, genre)
        made.logits()
        with FlopCounterMode(display=False) as counter:
            made.logits()
        counts.append(counter.get_total_flops())
        caches.append(sum(cache.shape[-1] for cache in made.caches))
        assert caches[-1] == len(CompiledWaveNet(net, told[0], 0).caches) == net.receptive_field - 1
        with FlopCounterMode(display=False) as counter:
            net(torch.zeros(1, net.receptive_field, dtype=torch.long), torch.randn(1, TOLD, 100), genre)
        assert counter.get_total_flops() > 10 * counts[-1]  # what one sample costs the slow way
    assert counts[0] == counts[1] > 0 and caches == [14, 1664]


def test_seeds_and_temperatures() -> None:
    net, told = network(), torch.randn(TOLD, 4)

    def made(seed: int, temperature: float) -> list[int]:
        return generated_codes(net, told, 2, 70, temperature, seed).tolist()

    assert made(1, 1.0) == made(1, 1.0) != made(2, 1.0)
    assert made(1, 0.0) == made(2, 0.0)  # the most probable ones
    chunks: list[int] = []
    generated_codes(net, told, 2, 17000, seed=1, progress=lambda parts: [chunks.append(len(p)) or p for p in parts])
    assert chunks == [8000, 8000, 1000]


def test_a_crop_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    net = WaveNet(TOLD, HOP, 16, 32, (1, 2, 4, 8), stacks=1, style=4)
    time = torch.arange(200) / 200
    codes = mu_law_encoded(0.8 * torch.sin(60 * time) * torch.exp(-3 * time))[None]
    told, genre = torch.randn(1, TOLD, 10), torch.tensor([1])
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(120):
        loss = F.cross_entropy(net(codes, held(told), genre), codes)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 4 and losses[-1] < 0.3
    made = generated_codes(net.eval(), told[0], 1, 200, temperature=0)
    assert (mu_law_decoded(made) - mu_law_decoded(codes[0])).abs().max() < 0.1


class TellingTime(MotionReader):
    """Tells the time of each frame, as it stands in the first column of the features."""

    def forward(self, features: Tensor, frames: int, frame_rate: float | int) -> MotionRead:
        place = self.positions(frames, frame_rate).clamp(0, features.shape[1] // 2 - 1) * 2 + 0.5
        told = (features[:, :1, 0] + place / 60)[:, None].expand(-1, self.channels, -1)
        return MotionRead(told, told[..., 0], told[:, :2], torch.zeros(1, 10))


@pytest.mark.parametrize("motion_frames", [90, 180, 437, 1000])
def test_a_long_dance_is_read_in_step(motion_frames: int) -> None:
    reader = TellingTime(TemporalEncoder(8, (1,), 0)).eval()
    features = torch.zeros(motion_frames, 219)
    features[:, 0] = torch.arange(motion_frames) / 60
    frames = motion_frames * 50 // 60 + 30
    read = read_whole(reader, features, frames, Fraction(50), 3)
    centres = (torch.arange(frames) + 0.5) / 50
    assert read.cond.shape == (reader.channels, frames)
    inside = centres < (motion_frames - 7) / 60
    assert (read.cond[0] - centres)[inside].abs().max() < 0.011
    assert (read.cond[0][~inside] - motion_frames / 60).abs().max() < 0.12  # the end is held
    assert torch.allclose(read.genre, torch.full((10,), 0.1))


TINY = [
    "system.reader.encoder.channels=16",
    "system.reader.encoder.dilations=[1,2]",
    "system.network.cond_channels=18",
    "system.network.channels=8",
    "system.network.skip=8",
    "system.network.dilations=[1,2,4]",
    "system.network.hop_samples=80",
    "system.sample_rate=4000",
    "system.window_seconds=2",
    "system.network_rows=1",
    "data.batch_size=2",
    "data.steps_per_epoch=4",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
]


def config_for(root: Path, out: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose("train", ["experiment=wavenet", f"data.root={root}", f"out={out}", *TINY, *overrides])


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> DataSetLayout:
    return write_sounding(tmp_path_factory.mktemp("sounding") / "data")


@pytest.fixture(scope="module")
def checkpoint(layout: DataSetLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wavenet") / "run"
    fit(config_for(layout.root, out))
    log = next(out.glob("csv/**/metrics.csv")).read_text()
    assert all(f"{part}/{name}" in log for part in ("train", "val") for name in ("loss", "codes", "rhythm", "genre"))
    return out / "checkpoints" / "last.ckpt"


def test_a_trained_checkpoint_makes_music_as_long_as_the_dance(checkpoint: Path, layout: DataSetLayout) -> None:
    model = Dance2Music.load(checkpoint)
    dance = Dance.load(layout.features(NAMES[2]))
    music = model(dance, seed=1, temperature=0.8)
    assert (music.sample_rate, music.waveform.shape) == (4000, (1, 20000)) and music.waveform.std() > 0.01
    assert np.array_equal(music.waveform, model(dance, seed=1, temperature=0.8).waveform)
    assert not np.array_equal(music.waveform, model(dance, seed=2, temperature=0.8).waveform)
    assert set(load_checkpoint(checkpoint).config) == {"system", "generator"}
    system = model.system
    assert torch.allclose(system.reader.normalizer.mean[:3], _mean(layout)[:3], atol=1e-4)


def _mean(layout: DataSetLayout) -> Tensor:
    return torch.from_numpy(np.concatenate([np.load(layout.features(name)) for name in NAMES]).mean(axis=0))


def test_what_a_composer_says(checkpoint: Path) -> None:
    music_generator = Dance2Music.load(checkpoint).music_generator
    features = moving(150, 3)
    reads: list[int] = []
    hook = music_generator.system.reader.encoder.register_forward_hook(lambda *_: reads.append(1))
    made = music_generator.generate(GenerationRequest(torch.from_numpy(features), 3, 4321, settings={"temperature": 0}))
    hook.remove()
    assert len(reads) == 2  # windows, for genre and condition together
    assert made.waveform.shape == (1, 4321) and made.settings == {"temperature": 0.0}
    asked = GenerationRequest(torch.from_numpy(features), 3, 100)
    assert music_generator.generate(asked).settings == {"temperature": 1.0}
    assert made.genre == 3 and abs(float(made.genre_probabilities.sum()) - 1) < 1e-5
    assert 40 < music_generator.read(torch.from_numpy(features)).beats.grid.bpm < 240
    with pytest.raises(BadConfig, match="temperature=-1: expected from 0"):
        music_generator.generate(GenerationRequest(torch.from_numpy(features), 3, 100, settings={"temperature": -1}))
    with pytest.raises(BadConfig, match="autoencoder=demo: a WaveNet makes its sound without one"):
        Dance2Music.load(checkpoint, autoencoder="demo")


def test_the_beats_that_are_given_are_the_condition(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    music_generator, grid, conditions = Dance2Music.load(checkpoint).music_generator, BeatGrid.regular(97, 0.2, 3), []

    def noted(network: Any, cond: Tensor, genre: int, samples: int, *rest: Any) -> Tensor:
        conditions.append(cond)
        return torch.zeros(samples, dtype=torch.long)

    monkeypatch.setattr(wavenet, "generated_codes", noted)
    for beats in (None, grid):
        music_generator.generate(GenerationRequest(torch.from_numpy(moving(150, 3)), 3, 4321, beats=beats))
    read, given = conditions
    curve = grid.curve(read.shape[1], float(music_generator.system.frame_rate))
    np.testing.assert_allclose(given[-2], curve, atol=1e-6)
    assert torch.equal(read[:-2], given[:-2]) and torch.equal(read[-1], given[-1])


def system_of(layout: DataSetLayout, *overrides: str) -> tuple[WaveNetSystem, dict[str, Any]]:
    """A system and a batch of its data."""
    config = config_for(layout.root, Path("unused"), *overrides)
    data = hydra.utils.instantiate(config.data, _convert_="all")
    system = hydra.utils.instantiate(config.system, _convert_="all")
    data.setup()
    return system, next(iter(data.val_dataloader()))


def test_the_true_beats_are_what_it_learns_to_play_on(layout: DataSetLayout) -> None:
    """Not what its own head reads of them: else it would not obey beats that are given."""
    system, batch = system_of(layout)
    system.eval()  # no dropout

    def loss(beats: torch.Tensor) -> float:
        given = {**batch, "rhythm": beats}
        return float(system.compute_losses(given, False, torch.Generator().manual_seed(0))["codes"])

    quiet = torch.zeros_like(batch["rhythm"])
    beating = quiet.clone()
    beating[:, 0, ::9] = 1
    assert loss(quiet) == loss(quiet) != loss(beating)


def test_the_loss_reaches_every_weight(layout: DataSetLayout) -> None:
    system, batch = system_of(layout, "system.network_rows=null", "system.genre_dropout=1.0")
    system.compute_losses(batch, training=True)["loss"].backward()
    without = [name for name, weight in system.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without in ([], ["network.layers.5.residual.weight", "network.layers.5.residual.bias"])  # leads nowhere
    learned = system.network.style.embedding.weight.grad
    assert learned is not None and learned[:10].abs().max() == 0  # all genres drop_genre


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["system.network.cond_channels=7"], r"network\.cond_channels=7: the reader gives 18 channels"),
        (["system.network.upsampling=cubic"], "upsampling=cubic: unknown; expected one of linear, transposed"),
        (["system.network.stacks=0"], "stacks=0: expected at least one"),
        (["system.crop_seconds=0.001"], r"crop_seconds=0\.001: expected from 0\.02 s, one frame, to the window's 2 s"),
        (
            ["data.sample_rate=8000"],
            r"data\.sample_rate: found 16000 samples with 2 s of motion, expected 4000 a second",
        ),
        (["data.rhythm_rate=25"], r"data\.rhythm_rate: found 50 rhythm frames in a window, expected 100; set it to 50"),
    ],
)
def test_settings_that_do_not_fit(layout: DataSetLayout, overrides: list[str], said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        system, batch = system_of(layout, *overrides)
        system.compute_losses(batch, training=True)
    assert BadConfig in (type(caught.value), type(caught.value.__cause__))


def test_small_video_frames_instead_of_a_skeleton(layout: DataSetLayout) -> None:
    for number, name in enumerate(NAMES):
        pictures = np.random.default_rng(number).integers(0, 256, (15 * (3 + number), 16, 16), np.uint8)
        np.save(layout.root / "frames" / f"{name}.npy", pictures)
    (layout.root / "frames" / "manifest.json").write_text('{"size": 16, "fps": 15}')
    _, batch = system_of(layout, "+data.frames=true")
    reader = FrameReader(16, 2, (1, 2))
    system = WaveNetSystem(reader, WaveNet(18, 80, 8, 8, (1, 2, 4), 1), 4000, 2, 0.4)
    parts = system.compute_losses(batch, training=True)
    parts["loss"].backward()
    assert parts["rhythm"] > 0 and all(weight.grad is not None and weight.grad.any() for weight in reader.parameters())
    system.eval()
    pictures = batch["frames"][0]
    read, later = (
        reader(p[None], 100, 50).cond[0] for p in (pictures, torch.cat([pictures[:20], pictures[20:].flip(0)]))
    )
    assert read.shape == (18, 100) and not torch.allclose(read, later, atol=1e-3)
    asked = GenerationRequest(torch.cat([pictures] * 3), 3, 25000)  # 6 s of pictures, 6.25 s of music
    assert WaveNetGenerator(system, {}).generate(asked).waveform.shape == (1, 25000)
    with pytest.raises(BadConfig, match=r"set data\.frames=true"):
        system.compute_losses({key: value for key, value in batch.items() if key != "frames"}, training=True)
