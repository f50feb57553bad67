"""Frames in, sound out: on virtual time, in real time, and by the command."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from tests_support_live import SECONDS, still
from tests_support_video import portrait

from d2m.audio.mastering import CEILING
from d2m.cli import main
from d2m.commands.live import choose_typed
from d2m.core.aist_names import GENRES
from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.live.blocks import BlockGenerator
from d2m.live.performance import Live, LiveFrame, LiveState
from d2m.live.session import Sight, of_dance, of_film, play_in_real_time, play_virtually, status
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid


@pytest.fixture(scope="module")
def standing() -> np.ndarray:
    """A window of features of a body that does not move."""
    return np.tile(np.concatenate([np.zeros(3), np.tile(np.eye(3).ravel(), 24)]), (356, 1)).astype(np.float32)


def test_blocks_go_on_from_each_other(live: Live, standing: np.ndarray) -> None:
    """A block is as long as it says; what was made before is not touched, and no edge stands out."""
    generator, grid = live.generator, BeatGrid.regular(120, 0.0, 8.0)
    state, sounds = generator.begin(), []
    for _ in range(6):
        before = state.latent
        state, sound = generator.next(state, standing, grid, 5)
        assert sound.shape == (2, generator.samples) and np.isfinite(sound).all()
        kept = state.latent[:, : -generator.frames]
        both = min(kept.shape[1], before.shape[1])
        assert (kept[:, kept.shape[1] - both :] == before[:, before.shape[1] - both :]).all()
        sounds.append(sound)
    wave = np.concatenate(sounds, axis=1)[0]
    steps = np.abs(np.diff(wave))
    edges = steps[np.arange(1, 6) * generator.samples - 1]
    assert edges.max() < steps.max() and np.median(edges) < np.quantile(steps, 0.99)
    again, first = generator.next(generator.begin(), standing, grid, 5)
    assert (first == sounds[0]).all() and again.blocks == 1
    assert not np.allclose(generator.next(generator.begin(), standing, grid, 2)[1], sounds[0])


def test_every_block_is_told_the_one_key(standing: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Dance2Music.load("demo_fast", settings={"steps": 1})
    conditioner, told = model.music_generator.system.conditioner, []
    read = conditioner.read
    monkeypatch.setattr(
        conditioner, "read", lambda motion, beats, sheet: told.append(sheet) or read(motion, beats, sheet)
    )
    for key in ("F#", None):
        generator, told[:] = BlockGenerator(model, key=key), []
        state = generator.begin()
        for _ in range(2):
            state, _ = generator.next(state, standing, BeatGrid.regular(120, 0.0, 8.0), 5)
        assert torch.equal(told[0], told[1]) and told[0][0, :12, 100].sum() == 7
        assert key is None or set(torch.nonzero(told[0][0, :12, 100]).flatten().tolist()) == {6, 8, 10, 11, 1, 3, 5}
    with pytest.raises(BadConfig, match="key=H"):
        BlockGenerator(model, key="H")


def test_blocks_are_not_cut_off_at_full_scale(standing: np.ndarray) -> None:
    generator = BlockGenerator(Dance2Music.load("demo", settings={"steps": 3, "guidance": 8.0}))
    state, sounds = generator.begin(), []
    for _ in range(4):
        state, sound = generator.next(state, standing, BeatGrid.regular(120, 0.0, 8.0), 5)
        sounds.append(sound)
    assert 0.3 < np.abs(np.concatenate(sounds, axis=1)).max() <= CEILING + 1e-4


def test_decoders_with_oscillators_are_told_where_a_block_is(
    live: Live, standing: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is decoded ends as many frames after the last block's end as the last one's did."""
    generator, ends, decode = live.generator, [], live.generator.generator.dmae.decode_onepass

    def noted(latent: torch.Tensor, random: torch.Generator | None = None, first_frame: int = 0) -> torch.Tensor:
        ends.append(first_frame + latent.shape[2])
        return decode(latent, random, first_frame)

    monkeypatch.setattr(generator.generator.dmae, "decode_onepass", noted)
    state = generator.begin()
    for _ in range(4):
        state, _ = generator.next(state, standing, BeatGrid.regular(120, 0.0, 8.0), 5)
    assert (np.diff(ends) == generator.frames).all()


def test_sound_is_as_long_as_the_dance_and_begins_with_the_beat(live: Live, dance: Dance) -> None:
    recording = play_virtually(live, of_dance(dance))
    music = recording.music()
    assert music.seconds == pytest.approx(SECONDS - 1 / 30, abs=1e-3) and recording.state.missed == 0
    beats_s = recording.as_json()["beats"]["beats_s"]
    assert len(beats_s) > 4 and (np.diff(beats_s) > 0.25).all()
    loud = np.abs(music.waveform[0]) > 0.02
    assert loud.any() and beats_s[0] - 1.2 < np.flatnonzero(loud)[0] / live.sample_rate
    assert "BPM" in status(recording.state, live) and "gHO" in status(recording.state, live)


def test_frames_may_come_in_any_bundles(live: Live, frames: list[LiveFrame]) -> None:
    frames = frames[:90]
    singly = live.begin()
    for frame in frames:
        singly = live.watch(singly, [frame])
    together = live.watch(live.begin(), frames)
    assert singly.seen == together.seen and singly.prediction is not None and together.prediction is not None
    assert singly.prediction.next_s == pytest.approx(together.prediction.next_s, abs=1e-3)
    uneven = live.watch(live.begin(), [frame for n, frame in enumerate(frames) if n % 7 not in (2, 3)] + frames[-1:])
    assert uneven.seen == together.seen


def test_a_dancer_who_stops_or_leaves_is_followed_by_silence_within_a_bar(
    live: Live, frames: list[LiveFrame], danced: LiveState
) -> None:
    assert danced.beats is not None and danced.level > 0.3
    end_s = frames[-1].time_s
    for after in (
        [replace(frames[-1], time_s=end_s + n / 30) for n in range(1, 78)],
        [LiveFrame(end_s + n / 30, None) for n in range(1, 78)],
    ):
        state, sounds = danced, []
        for frame in after:
            state, sound = live.step(state, [frame])
            sounds.append(sound)
        wave = np.abs(np.concatenate(sounds, axis=1)[0])
        bar = round(4 * 60 / 110 * live.sample_rate)
        assert wave[bar:].max() < 0.02 and state.level < 0.05


def test_the_genre_may_change_from_block_to_block(live: Live, frames: list[LiveFrame], danced: LiveState) -> None:
    """A chosen one holds from the next block on; without one it is what was read when music began."""
    genres, before = [], danced.music
    try:
        choose_typed(["gKR\n"], live)
        for typed in ("gBR\n", "\n", "gXX\n", "gHO\n"):
            danced = live.make_block(danced, frames[-1].time_s)
            genres.append(danced.genre)
            choose_typed([typed], live)
    finally:
        live.choose_genre("gHO")
    read = danced.read_genre
    assert genres == [GENRES.index("gKR"), GENRES.index("gBR"), read, read] and read is not None
    assert danced.music is not None and before is not None and danced.music.blocks == before.blocks + 4


def test_nobody_and_somebody_who_stands_are_silent(live: Live) -> None:
    for frames in ([LiveFrame(n / 30, None) for n in range(60)], still(2.0)):
        state, sound = live.step(live.begin(), frames)
        assert sound.shape[1] == round(frames[-1].time_s * live.sample_rate) and not np.abs(sound).max() > 1e-3
        assert isinstance(state, LiveState)


def test_sound_that_was_not_made_in_time_fades_and_is_counted(live: Live) -> None:
    begun = replace(live.begin(), sound=np.ones((2, 1000), np.float32), level=1.0, movement=1.0)
    state = replace(begun, made_s=1000 / live.sample_rate)
    state, sound = live.play(state, 1500)
    assert sound.shape == (2, 1500) and state.missed == 500 and "missed" in status(state, live)
    assert np.abs(np.diff(sound[0, 600:])).max() < 0.1 and not np.abs(sound[0, 1200:]).max() > 0.01


def test_sound_that_comes_late_is_where_it_belongs(live: Live) -> None:
    """Whatever was missed: of a block that comes late the rest is heard, and one that was begun for later waits for its time."""
    begun, rate = live.begin(), live.sample_rate
    ramp = np.tile(1 + np.arange(1000, dtype=np.float32), (2, 1))
    made = replace(begun, sound=ramp, made_s=1000 / rate)
    now, _ = live.play(begun, 300)
    assert now.made_s == pytest.approx(300 / rate)
    late = live.with_block(now, begun, made)
    assert late.sound.shape == (2, 700) and late.sound[0, -1] == 1000 and late.sound[0, 0] == 0 and late.missed == 300
    assert late.made_s == pytest.approx(1000 / rate)
    later = replace(begun, made_s=500 / rate)
    waits = live.with_block(now, later, replace(later, sound=ramp, made_s=1500 / rate))
    assert waits.sound.shape == (2, 1200) and not waits.sound[0, :200].any() and waits.sound[0, -1] == 1000
    assert waits.missed == 500 and waits.made_s == pytest.approx(1500 / rate)
    overdue = live.with_block(live.play(begun, 5000)[0], begun, made)
    assert overdue.sound.shape == (2, 0) and overdue.made_s == pytest.approx(5000 / rate)
    on_time = live.with_block(begun, begun, made)
    assert (on_time.sound == ramp).all() and on_time.missed == 0


def test_a_slow_computer_makes_what_can_be_ready(live: Live) -> None:
    """A block that would be too late is begun for later; one that is late by little stays where it is."""
    state = replace(live.begin(), made_s=0.25)
    for took_s, made_s in (([0.3, 0.3], 0.25), ([0.9, 1.0, 0.8], 0.9)):
        due = live.due(state, 0.0, took_s)
        assert due is not None and due.made_s == pytest.approx(made_s)
    assert live.due(state, 0.5, []) == replace(state, made_s=0.5)
    assert live.due(replace(state, made_s=5.0), 0.0, [0.9]) is None


def test_in_real_time(live: Live) -> None:
    """Everything is seen, and sound was asked for; a source that fails ends it."""
    recording = play_in_real_time(live, (Sight(frame) for frame in still(2.0)))
    assert recording.state.seen == 119 and recording.music().seconds > 0

    def unplugged() -> Iterator[Sight]:
        yield Sight(still(1.0)[0])
        raise ConnectionError("unplugged")

    with pytest.raises(ConnectionError):
        play_in_real_time(live, unplugged())


def test_the_command_records(dance_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "a.wav"
    arguments = ["live", "--file", str(dance_file), "--virtual", "--record", str(out), "--tempo", "120"]
    assert main(arguments) == 0
    assert Music.load(out).seconds == pytest.approx(SECONDS, abs=0.1)
    record = json.loads(out.with_suffix(".json").read_text())
    assert np.median(np.diff(record["beats"]["beats_s"])) == pytest.approx(0.5, rel=0.06)
    assert "a.wav: " in capsys.readouterr().out


def test_a_film_is_followed_and_recorded(live: Live, tmp_path: Path) -> None:
    """A photograph goes up and down twice a second; its film comes back with as much sound as there were pictures."""
    pytest.importorskip("mediapipe", reason="the extra [pose] is not installed")
    photo = portrait(360)
    with av.open(str(tmp_path / "a.mp4"), "w") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 400, "yuv420p"
        for number in range(38):
            picture = np.full((400, 640, 3), 90, np.uint8)
            top = 20 + round(14 * abs(np.sin(2 * np.pi * number / 25)))
            picture[top : top + photo.shape[0], 150 : 150 + photo.shape[1]] = photo
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        film.mux(stream.encode())
    recording = play_virtually(live, of_film(tmp_path / "a.mp4"), keep_pictures=True)
    assert recording.state.movement > 0.1 and recording.state.seen == 89 and len(recording.pictures) == 38
    recording.save(tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as film:
        assert [stream.type for stream in film.streams] == ["video", "audio"]
        assert film.duration / av.time_base == pytest.approx(1.5, abs=0.1)
    assert json.loads((tmp_path / "b.json").read_text())["missed_seconds"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--file", "none.pkl", "--record", "a.wav"], "no such file"),
        (["--camera", "0", "--virtual", "--record", "a.wav"], "a camera shows what goes on now"),
        (["--file", "a.pkl", "--virtual"], "nothing would be heard"),
        (["--file", "a.pkl", "--record", "a.mp3"], "expected .wav or .mp4"),
        (["--file", "a.pkl", "--record", "a.mp4"], "a motion file has no pictures"),
        (["--file", "a.pkl", "--record", "there.wav"], "exists; give another name"),
        (["--camera", "0", "--report", "out"], "--report out: is made of a file"),
        (["--file", "a.pkl", "--report", "out", "--record", "a.wav"], "--report out: keeps no sound"),
        (["--file", "a.pkl", "--report", "out", "--seconds", "1"], "--seconds 1: expected 5 to 3600"),
        (["--camera", "97", "--record", "a.wav"], "--camera 97: cannot be opened"),
        (
            ["--file", "a.pkl", "--virtual", "--record", "a.wav", "--checkpoint", "retrieval"],
            "needs a latent diffusion",
        ),
        (["--file", "a.pkl", "--virtual", "--record", "a.wav", "--tempo", "20"], "tempo=20: expected 60 to 200"),
        (["--file", "a.pkl", "--virtual", "--record", "a.wav", "--genre", "gXX"], "gXX"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], said: str, dance_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shutil.copy(dance_file, tmp_path)
    (tmp_path / "there.wav").touch()
    with pytest.raises(SystemExit) as stopped:
        main(["live", *arguments])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stopped.value.code == 2 and error.startswith("error: ") and said in error
