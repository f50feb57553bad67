"""Manifest of an encoded data set: round trip, and one sentence for what is missing, damaged or foreign."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from d2m.core.errors import BadInput
from d2m.core.timeline import Timeline
from d2m.data.manifest import LatentManifest

MANIFEST = LatentManifest(1, "demo", "ab" * 32, 22050, 512, 2, [0.1, 0.2], [1.0, 0.5], 3)
CLOCK = Timeline(22050, 512)


def test_manifest_round_trip(tmp_path: Path) -> None:
    MANIFEST.save(tmp_path)
    assert LatentManifest.load(tmp_path) == MANIFEST
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_missing_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"run scripts/encode\.py"):
        LatentManifest.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps({**MANIFEST.__dict__, "latent_mean": 3}),
        json.dumps({**MANIFEST.__dict__, "latent_channels": 5}),
        json.dumps({**MANIFEST.__dict__, "sample_rate": None}),
    ],
)
def test_damaged_manifest_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BadInput, match=r"manifest\.json: damaged .*scripts/encode\.py"):
        LatentManifest.load(tmp_path)


def test_manifest_of_another_version(tmp_path: Path) -> None:
    replace(MANIFEST, version=7).save(tmp_path)
    with pytest.raises(BadInput, match="found version 7, expected 1"):
        LatentManifest.load(tmp_path)


def test_check_accepts_its_own_autoencoder() -> None:
    MANIFEST.check(CLOCK)
    MANIFEST.check(CLOCK, "ab" * 32, latent_channels=2)


@pytest.mark.parametrize(
    ("clock", "sha256", "channels", "sentence"),
    [
        (Timeline(44100, 512), None, None, "22050 Hz, not 44100 Hz"),
        (Timeline(22050, 1024), None, None, "hop of 512 samples, not 1024"),
        (CLOCK, "cd" * 32, None, "weights abababababab, not cdcdcdcdcdcd"),
        (CLOCK, None, 32, "2 latent channels, not 32"),
    ],
)
def test_check_refuses_another_autoencoder(
    clock: Timeline, sha256: str | None, channels: int | None, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        MANIFEST.check(clock, sha256, channels)
