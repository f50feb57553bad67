"""Adding a system is one file, one YAML and one test, as the README says: here is a fifth, trained, loaded, heard and scored."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import d2m.systems
from d2m.core.errors import BadConfig
from d2m.evaluation.scores import score_folders
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music, generate_all
from d2m.training.run import fit

CONFIGS = Path(__file__).parents[2] / "configs"

SYSTEM = '''
"""Noise as loud as the dance is lively."""

import lightning
import torch
from d2m.core.registry import register
from d2m.core.timeline import MOTION_FPS
from d2m.models.motion_reader import MotionReader
from d2m.systems.interface import MusicGenerator, GeneratedMusic, without_autoencoder


@register
class Noise(lightning.LightningModule):
    """Learns the loudness of the music from the motion."""

    def __init__(self, reader: MotionReader, sample_rate: int = 16000, rate: int = 50) -> None:
        super().__init__()
        self.reader, self.sample_rate, self.rate = reader, sample_rate, rate
        self.loudness, self.config = torch.nn.Conv1d(reader.channels, 1, 1), {}

    def read(self, features, frames):
        read = self.reader(features, frames, self.rate)
        return read, self.loudness(read.cond)[:, 0]

    def training_step(self, batch, batch_idx):
        hop = self.sample_rate // self.rate
        wanted = batch["waveform"][:, 0].unfold(1, hop, hop).std(dim=-1).clamp(min=1e-4).log()
        loss = torch.nn.functional.mse_loss(self.read(batch["features"], wanted.shape[1])[1], wanted)
        self.log("train/loss", loss.detach())
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", torch.zeros(()))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 1e-3)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["config"] = self.config


@register
class NoiseGenerator(MusicGenerator):
    """Noise of that loudness."""

    settings = frozenset({"volume"})

    def __init__(self, system, made_with, autoencoder=None) -> None:
        without_autoencoder(autoencoder, "noise")
        self.system, self.sample_rate = system.eval(), system.sample_rate

    @torch.no_grad()
    def generate(self, request):
        frames = -(-len(request.motion) * self.system.rate // MOTION_FPS)
        read, loudness = self.system.read(request.motion[None], frames)
        probabilities, loudness = read.genre_logits[0].softmax(dim=0), loudness.exp()
        genre = int(probabilities.argmax()) if request.genre is None else request.genre
        wave = torch.randn(request.samples + 400, generator=torch.Generator().manual_seed(request.seed))
        held = loudness.repeat_interleave(self.sample_rate // self.system.rate, dim=1)
        held = torch.nn.functional.pad(held, (0, max(0, len(wave) - held.shape[1])), mode="replicate")[:, : len(wave)]
        volume = float(request.settings.get("volume", 1.0))
        return GeneratedMusic(volume * held * wave, {"volume": volume}, genre, probabilities)
'''
YAML = """
# @package _global_
name: noise
generator: {_target_: d2m.systems.noise.NoiseGenerator, _partial_: true}
system:
  _target_: d2m.systems.noise.Noise
  reader:
    _target_: d2m.models.motion_reader.MotionReader
    encoder: {_target_: d2m.models.encoders.TemporalEncoder, channels: 16, dilations: [1, 2], attention_blocks: 0}
data:
  _target_: d2m.data.datamodule.WaveformWindows
  root: ???
  sample_rate: 16000
  window_seconds: 4
trainer: {max_steps: 3, val_check_interval: 3, gradient_clip_val: null}
"""


def test_one_file_and_one_yaml(
    two_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "systems").mkdir()
    (tmp_path / "systems" / "noise.py").write_text(SYSTEM)
    (tmp_path / "configs" / "experiment").mkdir(parents=True)
    (tmp_path / "configs" / "experiment" / "noise.yaml").write_text(YAML)
    monkeypatch.setattr(d2m.systems, "__path__", [*d2m.systems.__path__, str(tmp_path / "systems")])
    found = f"hydra.searchpath=[file://{tmp_path / 'configs'}]"
    settings = [f"data.root={two_clips}", f"out={tmp_path / 'run'}", "++data.batch_size=2", "++data.steps_per_epoch=3"]
    quick = ["trainer.precision=32-true", "trainer.accelerator=cpu", "++trainer.enable_progress_bar=false"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", [found, "experiment=noise", *settings, *quick])
    fit(config)

    model = Dance2Music.load(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert type(model.system).__name__ == "Noise" and float(model.system.reader.normalizer.std.mean()) != 1.0
    dances = sorted((two_clips / "motions").glob("*.pkl"))
    made = generate_all(model, dances, tmp_path / "music", volume=0.5)
    assert len(made.wavs) == 2 and not made.failed
    scores = score_folders(tmp_path / "music", two_clips / "wavs", progress=False).to_json()
    assert len(scores["clips"]) == 2 and not scores["failed"]
    with pytest.raises(BadConfig, match="temperature=1: Noise has no such setting; it takes volume"):
        model(Dance.load(dances[0]), temperature=1)
