"""The user's beats on their way to a system: a list, a tempo, a shift; the record that can be handed back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from d2m.cli import main
from d2m.core.checkpoint import save_checkpoint
from d2m.core.errors import BadConfig, BadInput
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music, generate_all
from d2m.rhythm.choice import BeatChoice
from d2m.rhythm.grid import BeatGrid
from d2m.rhythm.reader import RhythmRead
from d2m.rhythm.tracking import track_beats
from d2m.systems.interface import GeneratedMusic, GenerationRequest, LatentRequest

CONFIGS = Path(__file__).parents[2] / "configs" / "system"
NAMES = ("gBR_sBM_cAll_d04_mBR0_ch02", "gHO_sBM_cAll_d20_mHO5_ch02")  # 80 and 135 BPM


@pytest.fixture(scope="module")
def model() -> Dance2Music:
    return Dance2Music.load("demo")


@pytest.fixture(scope="module")
def dance(two_clips: Path) -> Dance:
    return Dance.load(two_clips / "motions" / f"{NAMES[0]}.pkl")


@pytest.fixture
def asked(model: Dance2Music, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[GenerationRequest]]:
    """What the system is asked for; the music is silence."""
    requests: list[GenerationRequest] = []

    def noted(some: list[GenerationRequest]) -> list[GeneratedMusic]:
        requests.extend(some)
        return [GeneratedMusic(torch.zeros(1, one.samples), {}, 0, torch.full((10,), 0.1)) for one in some]

    monkeypatch.setattr(model.music_generator, "generate_together", noted)
    yield requests


def beats_of(requests: list[GenerationRequest]) -> np.ndarray:
    assert requests[-1].beats is not None
    return requests[-1].beats.within(8)


def test_beats_are_read_moved_and_set(model: Dance2Music, dance: Dance, asked: list, tmp_path: Path) -> None:
    record = model.generate(dance)[1]
    read_s = beats_of(asked)
    assert record.beats is not None and record.dance_tempo_bpm == pytest.approx(80, rel=0.02)
    assert set(record.beats) == {"bpm", "source", "shift", "confidence", "beats_s", "alternatives"}
    assert (record.beats["source"], record.beats["shift"]) == ("read", 0)
    np.testing.assert_allclose(record.beats["beats_s"], read_s, atol=1e-3)
    assert 0.1 < record.beats["confidence"] <= 1 and record.warning is None and record.tempo_asked_bpm is None
    assert {"half", "double"} & {one["name"] for one in record.beats["alternatives"]}

    record = model.generate(dance, shift_beats=0.5)[1]
    assert record.beats is not None and record.beats["shift"] == 0.5 and record.beats["source"] == "read"
    np.testing.assert_allclose(beats_of(asked)[1:9], (read_s[:-1] + read_s[1:])[:8] / 2 + (beats_of(asked)[0] > read_s[0]) * 0.75, atol=0.05)  # fmt: skip
    model.generate(dance, shift_beats=-3)
    np.testing.assert_allclose(beats_of(asked), read_s, atol=1e-6)

    record = model.generate(dance, tempo_bpm=118)[1]
    assert record.beats is not None and (record.beats["source"], record.beats["bpm"]) == ("tempo", 118)
    assert record.tempo_asked_bpm == 118 and record.dance_tempo_bpm == pytest.approx(80, rel=0.02)
    np.testing.assert_allclose(np.diff(beats_of(asked)), 60 / 118)

    listed = tmp_path / "mine.txt"
    listed.write_text("\n".join(str(beat) for beat in np.arange(0.2, 8, 0.5)))
    record = model.generate(dance, beats=listed, shift_beats=0.5)[1]
    assert record.beats is not None and (record.beats["source"], record.beats["bpm"]) == ("file", 120)
    np.testing.assert_allclose(beats_of(asked), np.arange(0.45, 8, 0.5), atol=1e-6)
    model.generate(dance, beats=BeatGrid.regular(100, 0, 1))
    np.testing.assert_allclose(beats_of(asked), np.arange(0, 8, 0.6), atol=1e-6)


def test_the_record_is_handed_back(model: Dance2Music, two_clips: Path, asked: list, tmp_path: Path) -> None:
    motion = two_clips / "motions" / f"{NAMES[0]}.pkl"
    generate_all(model, [motion], tmp_path, shift_beats=0.25)
    first = beats_of(asked)
    written = tmp_path / f"{NAMES[0]}_seed0.json"
    assert json.loads(written.read_text())["beats"]["shift"] == 0.25
    generate_all(model, [motion], tmp_path / "again", beats=written)
    np.testing.assert_allclose(beats_of(asked), first, atol=1e-3)


def test_a_folder_has_a_list_for_each_dance(model: Dance2Music, two_clips: Path, asked: list, tmp_path: Path) -> None:
    motions = [two_clips / "motions" / f"{name}.pkl" for name in NAMES]
    result = generate_all(model, motions, tmp_path, beats=two_clips / "beats", batch=2)
    assert list(result.wavs) == motions
    for request, name in zip(asked, NAMES, strict=True):
        true_s = np.loadtxt(two_clips / "beats" / f"{name}.txt")
        np.testing.assert_allclose(request.beats.within(8), true_s[true_s < 8], atol=1e-6)
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / f"{NAMES[1]}.txt").write_text("0\n0.5\n1\n" + "\n".join(map(str, np.arange(1.5, 9, 0.5))))
    result = generate_all(model, motions, tmp_path, beats=tmp_path / "some", batch=2)
    assert list(result.wavs) == motions[1:] and f"holds no {NAMES[0]}.txt" in result.failed[motions[0]]


def test_a_latent_is_asked_for_on_the_beats(model: Dance2Music, dance: Dance, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[LatentRequest] = []
    generate = model.system.generate_latents

    def noted(requests: list[LatentRequest], *rest: Any) -> Any:
        wanted.extend(requests)
        return generate(requests, *rest)

    monkeypatch.setattr(model.system, "generate_latents", noted)
    model(dance, steps=1, tempo_bpm=97)
    assert wanted[0].beats is not None and wanted[0].beats.bpm == pytest.approx(97)


def test_one_who_stands_gets_music_and_is_told_so(model: Dance2Music, asked: list, tmp_path: Path, capsys: Any) -> None:
    poses = np.zeros((300, 72))
    still = Dance.from_smpl(poses, np.tile([0, 0.95, 0], (300, 1)), 60, "still")
    record = model.generate(still)[1]
    assert record.warning is not None and "no beat could be read in this dance (confidence 0.0" in record.warning
    told = model.generate(still, tempo_bpm=90)[1]
    assert told.warning is not None and "made at 90 BPM" in told.warning and beats_of(asked).size > 6
    assert model.generate(still, beats=BeatGrid.regular(90, 0, 5))[1].warning is None
    np.save(tmp_path / "still.npy", still.features)
    generate_all(model, [tmp_path / "still.npy"], tmp_path)
    shown = capsys.readouterr().out
    assert shown.count("still: no beat could be read") == 1
    assert json.loads((tmp_path / "still_seed0.json").read_text())["warning"] in shown


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tempo_bpm": 39}, "tempo=39: expected 40 to 240 BPM"),
        ({"tempo_bpm": 241}, "tempo=241: expected 40 to 240 BPM"),
        ({"tempo_bpm": float("nan")}, "tempo=nan: expected 40 to 240 BPM"),
        ({"tempo_bpm": 100, "beats": "list.txt"}, "tempo=100: the list of beats has a tempo already"),
        ({"shift_beats": float("inf")}, "shift=inf: expected a number of beats"),
        ({"shift_beats": float("nan")}, "shift=nan: expected a number of beats"),
        ({"beats": "nowhere.txt"}, "nowhere.txt: no such file"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(
    model: Dance2Music, dance: Dance, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((BadConfig, BadInput), match=said) as caught:
        model.generate(dance, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shift", [0.5, -0.5, 0.25, 7.5, -1e6, 1e12])
def test_any_shift_covers_the_dance(shift: float) -> None:
    reading = track_beats(BeatGrid.regular(100, 0.3, 10).curve(300, 30), 30)
    grid = BeatChoice(shift_beats=shift).chosen(reading, None, 10.0).grid
    assert grid.beats_s[0] <= 0 and grid.beats_s[-1] >= 10 and len(grid.beats_s) < 30


@pytest.mark.parametrize("reads_rhythm", [False, True])
def test_a_system_that_takes_no_beat_makes_music_and_refuses_beats(tmp_path: Path, reads_rhythm: bool) -> None:
    config = OmegaConf.load(CONFIGS / "published_small.yaml")
    if (
        reads_rhythm
    ):  # as experiment=demo_published_rhythm: a head for the loss, whose beats the condition does not hold
        config.conditioner.clock = config.clock
    config.unet.update(channels=[16] * 4, items=[1] * 4, modulation_features=16)
    path, published = tmp_path / "published.safetensors", hydra.utils.instantiate(config)
    stored = OmegaConf.to_container(config, resolve=True)
    save_checkpoint(path, published.state_dict(), {"system": stored, "dmae": "demo"})
    model, still = Dance2Music.load(path), Dance.from_smpl(np.zeros((120, 72)), np.zeros((120, 3)), 60, "still")
    record = model.generate(still, steps=1)[1]
    assert (record.beats, record.dance_tempo_bpm, record.warning) == (None, None, None)
    refused: list[dict[str, Any]] = [{"tempo_bpm": 90}, {"shift_beats": 0.5}, {"beats": BeatGrid.regular(90, 0, 2)}]
    for settings in refused:
        with pytest.raises(BadConfig, match="takes no beat, so no beats, tempo or shift can be asked for"):
            model(still, **settings)


def test_commands_take_beats_tempo_and_shift(two_clips: Path, tmp_path: Path, capsys: Any) -> None:
    motion = two_clips / "motions" / f"{NAMES[0]}.pkl"
    sample = ["sample", f"dance={motion}", f"out={tmp_path}", "steps=1"]
    beats = two_clips / "beats" / f"{NAMES[0]}.txt"
    for options, bpm, source in ((["tempo=97.5"], 97.5, "tempo"), ([f"beats={beats}", "shift=0.5"], 80, "file")):
        assert main([*sample, *options]) == 0
        found = json.loads((tmp_path / f"{NAMES[0]}_seed0.json").read_text())["beats"]
        assert found["bpm"] == pytest.approx(bpm, rel=1e-3) and found["source"] == source
    assert found["shift"] == 0.5
    clip = [str(motion), "-o", str(tmp_path / "a.wav"), "--steps", "1", "--force"]
    assert main([*clip, "--beats", str(beats), "--shift", "0.5"]) == 0
    for arguments, said in (
        ([*sample, "tempo=fast"], "tempo=fast: expected a number, such as 118"),
        ([*sample, "shift=half"], "shift=half: expected a number, such as 0.5"),
        ([*sample, "beats=[1,2]"], "expected the name of a file or folder"),
        ([*sample, "tempo=12"], "tempo=12: expected 40 to 240 BPM"),
        ([*sample, f"beats={beats}", "tempo=80"], "the list of beats has a tempo already"),
        ([*clip, "--beats", str(tmp_path / "none.txt")], "none.txt: no such file"),
        ([*clip, "--shift", "inf"], "shift=inf: expected a number of beats"),
        ([*clip, "--shift", "half"], "--shift"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        shown = capsys.readouterr().err
        assert stopped.value.code == 2 and said in shown and "Traceback" not in shown


def test_a_dance_is_read_once(dance: Dance, two_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for; the reader and the beat tracker are what takes time beside the music itself."""
    model, counts = Dance2Music.load("demo"), {"reader": 0, "tracker": 0}
    reader, motions = model.system.reader, [two_clips / "motions" / f"{name}.pkl" for name in NAMES]
    read, track = reader.read, RhythmRead.beats

    def counted(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(reader, "read", counted("reader", read))
    monkeypatch.setattr(RhythmRead, "beats", counted("tracker", track))
    monkeypatch.setattr(model.music_generator, "decoded", lambda *_: torch.zeros(1, 9 * 44100))
    song = str(two_clips / "wavs" / f"{NAMES[0]}.wav")
    asked: list[dict[str, Any]] = [
        {},
        {"genre": "gHO", "beats": two_clips / "beats", "batch": 2},
        {"edit": song, "steps": 2},
    ]
    for settings in asked:
        counts.update(reader=0, tracker=0)
        result = generate_all(model, motions, tmp_path, **{"steps": 1, **settings})
        assert not result.failed and counts == {"reader": 2, "tracker": 2}, settings
    generated = json.loads((tmp_path / f"{NAMES[0]}_seed0.json").read_text())
    expected = read(torch.from_numpy(dance.features)).genre_probabilities
    assert generated["genre_probability"] == pytest.approx(float(expected.max()), abs=1e-4)
