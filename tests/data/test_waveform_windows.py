"""Windows of motion and waveform: cut on one grid, numbered, in memory; and what is said of data that cannot be used."""

import json
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from tests_support_sounding import NAMES, write_sounding
from tests_support_windows import Seen
from torch import Tensor, nn

from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.data.datamodule import WaveformWindows
from d2m.data.dataset import WaveformGrid, load_waveform_clip
from d2m.data.layout import DataSetLayout
from d2m.models.heads import UNKNOWN_GENRE


@pytest.fixture
def layout(tmp_path: Path) -> DataSetLayout:
    return write_sounding(tmp_path / "data")


def module(layout: DataSetLayout, **options: Any) -> WaveformWindows:
    settings = {"sample_rate": 4000, "window_seconds": 2, "batch_size": 2, "steps_per_epoch": 3, "seed": 5, **options}
    return WaveformWindows(str(layout.root), **settings)


def test_a_window_is_cut_on_one_grid(layout: DataSetLayout) -> None:
    shape = WaveformGrid(4000, 50, 2)
    clip = load_waveform_clip(layout, NAMES[1], shape)
    assert shape.last_start(clip) == 20  # 4 s less 2 s, every 0.1 s
    row = shape.cut(clip, 13)
    assert abs(float(row["start_s"]) - 1.3) < 1e-6 and row["genre"] == 7
    features, waveform, rhythm = (row[key] for key in ("features", "waveform", "rhythm"))
    assert isinstance(features, Tensor) and isinstance(waveform, Tensor) and isinstance(rhythm, Tensor)
    assert torch.equal(features, torch.from_numpy(np.load(layout.features(NAMES[1]))[78:198]))
    sound = Music.load(layout.wav(NAMES[1])).resampled(4000).waveform[:, 5200:13200]
    assert waveform.shape == (1, 8000) and np.abs(waveform.numpy() - sound).max() < 1e-4
    assert rhythm.shape == (2, 100)
    peaks = (rhythm[0] > 0.9).nonzero()[:, 0] / 50 + 1.3 + 0.01
    assert np.abs(peaks - 0.25 - 0.5 * ((peaks - 0.25) / 0.5).round()).max() < 0.02  # the beats are at 0.25, 0.75, …
    assert len({round(float(peak - 0.25) / 0.5) for peak in peaks}) == 4


def test_the_end_of_a_sequence_can_be_reached(layout: DataSetLayout) -> None:
    shape = WaveformGrid(4000, 50, 2)
    clip = load_waveform_clip(layout, NAMES[0], shape)
    row = shape.cut(clip, shape.last_start(clip))
    assert [row[key].shape[-1] for key in ("waveform", "rhythm")] == [8000, 100]  # pyright: ignore[reportAttributeAccessIssue]
    assert len(row["features"]) == 120


def test_other_names_are_of_unknown_genre(layout: DataSetLayout) -> None:
    assert load_waveform_clip(layout, NAMES[2], WaveformGrid(4000, 50, 2)).genre == UNKNOWN_GENRE


def test_without_beats_they_are_tracked(layout: DataSetLayout) -> None:
    layout.beats(NAMES[2]).unlink()
    rhythm = load_waveform_clip(layout, NAMES[2], WaveformGrid(4000, 50, 2)).rhythm
    assert rhythm.shape == (2, 251) and rhythm.min() >= 0 and rhythm[0].max() > 0.8


def test_validation_is_the_first_window_of_every_sequence(layout: DataSetLayout) -> None:
    data = module(layout)
    data.setup()
    rows = [data.val[number] for number in range(len(data.val))]
    assert [row["name"] for row in rows] == list(NAMES) and {float(row["start_s"]) for row in rows} == {0.0}
    assert data.made_with == {}


class Recorder(lightning.LightningModule):
    """Notes the windows of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.seen = nn.Parameter(torch.zeros(())), list[Seen]()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        self.seen += list(zip(batch["name"], batch["start_s"].tolist(), strict=True))
        return self.weight * batch["waveform"].mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def train(data: WaveformWindows, steps: int, checkpoint: Path, resume: bool = False) -> list[Seen]:
    recorder = Recorder()
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(recorder, data, ckpt_path=str(checkpoint) if resume else None, weights_only=True)
    trainer.save_checkpoint(checkpoint)
    return recorder.seen


def test_a_resumed_training_goes_on_with_the_next_window(layout: DataSetLayout, tmp_path: Path) -> None:
    file = tmp_path / "a.ckpt"
    seen = train(module(layout), 2, file) + train(module(layout), 7, file, resume=True)
    data = module(layout)
    data.setup()
    rows = [data.train[number] for number in range(14)]
    assert seen == [(str(row["name"]), float(row["start_s"])) for row in rows]
    assert len(set(seen)) > 10


def test_statistics_are_those_of_the_training_dances(layout: DataSetLayout) -> None:
    class System:
        def __init__(self) -> None:
            self.reader, self.dances = self, list[np.ndarray]()

        def fit(self, dances: list[np.ndarray]) -> None:
            self.dances = dances

    data, system = module(layout), System()
    data.setup()
    data.fit_statistics_of(system)
    assert [len(dance) for dance in system.dances] == [180, 240, 300]


def test_pictures_come_along(layout: DataSetLayout) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (75, 8, 8), np.uint8)
    for name in NAMES:
        np.save(layout.root / "frames" / f"{name}.npy", pictures)
    (layout.root / "frames" / "manifest.json").write_text(json.dumps({"size": 8, "fps": 15}))
    data = module(layout, frames=True)
    data.setup()
    assert data.made_with == {"picture_size": 8} and module(layout).made_with == {}
    row = data.train[3]
    start, frames = round(float(row["start_s"]) * 15), row["frames"]
    assert abs(float(row["start_s"]) * 15 - start) < 1e-5  # a window starts with a picture
    assert isinstance(frames, Tensor) and frames.shape == (30, 8, 8)
    assert np.array_equal((frames * 255).round().numpy(), pictures[start : start + 30])
    (layout.root / "frames" / "manifest.json").write_text(json.dumps({"size": 8, "fps": 10}))
    with pytest.raises(BadConfig, match=r"found fps 10, expected 15"):
        module(layout, frames=True).setup()


def test_what_cannot_be_used_is_left_out_and_said(layout: DataSetLayout) -> None:
    layout.wav(NAMES[0]).unlink()
    found = module(layout, window_seconds=4.5).split("train")
    assert [clip.name for clip in found.clips] == [NAMES[2]]
    expected = "split 'train': 2 of 3 sequences left out: 1 shorter than 4.5 s, 1 not readable (first: "
    assert found.left_out.startswith(expected) and "mBR0_ch02.wav: not found" in found.left_out


def test_nothing_usable(layout: DataSetLayout) -> None:
    with pytest.raises(BadInput, match=r"no sequence of at least 9 s; use longer dances"):
        module(layout, window_seconds=9).setup()
    for name in NAMES:
        layout.wav(name).unlink()
    with pytest.raises(BadInput, match=r"wav: not found, expected the music of 'gBR_.*prepare the data set again"):
        module(layout).setup()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "not found, expected the small video frames"),
        (np.zeros((9, 4)), r"found float64 of shape \[9, 4\]"),
        (b"?", "damaged"),
    ],
)
def test_bad_pictures(layout: DataSetLayout, content: Any, said: str) -> None:
    path = layout.root / "frames" / f"{NAMES[0]}.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(BadInput, match=rf"{NAMES[0]}\.npy: .*{said}.*frames=false"):
        load_waveform_clip(layout, NAMES[0], WaveformGrid(4000, 50, 2, True))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rhythm_rate": 60, "sample_rate": 4000}, "rhythm_rate=60: 4000 Hz is no whole multiple"),
        ({"window_seconds": 1.25}, r"window_seconds=1.25: expected a multiple of 0\.1 s"),
        ({"window_seconds": 0}, "window_seconds=0"),
    ],
)
def test_rates_that_do_not_fit(layout: DataSetLayout, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        module(layout, **options)
