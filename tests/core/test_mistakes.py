"""Mistakes in a run's settings and files: each ends, or is passed over, with one sentence."""

from pathlib import Path

import pytest
import torch

from d2m.audio.pretrained import folded, load_dmae, save_dmae, weights_sha256
from d2m.core.checkpoint import WEIGHTS, load_checkpoint, save_checkpoint
from d2m.core.errors import BadConfig, whole_number
from d2m.data.datamodule import PairedWindows
from d2m.data.dataset import say_left_out
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music, generate_all
from d2m.systems.training_system import OptimizerSettings


@pytest.fixture(scope="module")
def model() -> Dance2Music:
    return Dance2Music.load("demo")


def test_numbers_that_are_none(model: Dance2Music, two_clips: Path) -> None:
    dance = Dance.load(next(iter(sorted((two_clips / "motions").glob("*.pkl")))))
    for settings, sentence in (
        ({"steps": 2.5}, r"steps=2\.5: expected a whole number from 1"),
        ({"steps": 0}, "steps=0: expected"),
        ({"guidance": float("nan")}, "guidance=nan: expected a number"),
        ({"guidance": "much"}, "guidance=much: expected a number"),
        ({"seed": -1}, "seed=-1: expected a whole number from 0"),
        ({"seed": 10**22}, "seed=10000000000000000000000: expected a whole number"),
    ):
        with pytest.raises(BadConfig, match=sentence):
            model(dance, **settings)
    for rate in ({"lr": -1.0}, {"lr": float("nan")}, {"conditioner_lr": -1e-3}):
        with pytest.raises(BadConfig, match=f"{next(iter(rate))}=.*: expected a learning rate"):
            OptimizerSettings(**rate)
    with pytest.raises(BadConfig, match="seed=a number of 60 digits: expected"):
        whole_number("seed", 10**59)


def test_a_name_that_is_too_long_ends_no_folder(model: Dance2Music, two_clips: Path, tmp_path: Path) -> None:
    good = sorted((two_clips / "motions").glob("*.pkl"))[0]
    long = tmp_path / f"{'a' * 245}.pkl"
    long.write_bytes(good.read_bytes())
    made = generate_all(model, [long, good], tmp_path / "out", steps=1)
    assert list(made.wavs) == [good]
    assert "a name longer than the disk allows; shorten" in made.failed[long]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_an_autoencoder_of_other_weights_is_refused(tmp_path: Path) -> None:
    noted, found = WEIGHTS / "demo.safetensors", load_checkpoint(WEIGHTS / "demo.safetensors")
    right = weights_sha256(load_dmae("demo"))
    assert found.config["dmae_sha256"] == right
    older = {key: value for key, value in found.config.items() if key != "dmae_sha256"}
    Dance2Music.load(
        save_checkpoint(tmp_path / "older.safetensors", found.state, older)
    )  # before there were fingerprints
    other, config = load_dmae("demo"), load_checkpoint(WEIGHTS / "dmae_demo.safetensors").config
    for weight in other.encoder.parameters():
        torch.nn.init.normal_(weight)
    untrained = save_dmae(other, config, tmp_path / "untrained.safetensors")
    Dance2Music.load(noted)
    with pytest.raises(
        BadConfig, match=f"untrained.safetensors: its encoder has the fingerprint .* latents of {right[:12]}"
    ):
        Dance2Music.load(noted, autoencoder=untrained)
    decoder_only = save_checkpoint(
        tmp_path / "decoder.safetensors",
        {
            key: value + 0.01 if "onepass" in key else value
            for key, value in folded(load_dmae("demo").state_dict()).items()
        },
        config,
    )
    Dance2Music.load(noted, autoencoder=decoder_only)  # the latents stay what they are


def test_training_notes_the_fingerprint_and_says_what_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    data = PairedWindows(str(tmp_path), "demo", 22050, 512)
    assert data.made_with == {"dmae": "demo"}
    folder = data.layout.latent_folder("demo")
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    monkeypatch.setattr(
        "d2m.data.manifest.LatentManifest.load", lambda folder: type("Made", (), {"weights_sha256": "f" * 64})
    )
    assert data.made_with == {"dmae": "demo", "dmae_sha256": "f" * 64}
    say_left_out("split 'train': 1 of 5 sequences left out")
    assert capsys.readouterr().err == "note: split 'train': 1 of 5 sequences left out\n"
