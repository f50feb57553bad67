"""What the page draws of a take's beats, what it says of them, and which lists of beats it takes back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from d2m.clip_pipeline import ClipRequest
from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid
from d2m.web.beats import checked_beats, envelope, sentence_about, shown_beats
from d2m.web.jobs import JobQueue, PageFolder, PageSettings
from d2m.web.uploads import Upload, UploadLimits

SETTINGS = PageSettings.checked("", "118", 3, 1, False)


def a_late_burst() -> Music:
    """Two seconds, silent but for the third quarter."""
    wave = np.zeros((2, 16000), np.float32)
    wave[:, 8000:12000] = 0.25 * np.sin(np.arange(4000) / 3)
    return Music(wave, 8000)


def recorded(confidence: float, source: str = "read") -> dict[str, Any]:
    """Beats as a record has them."""
    return {"bpm": 120.0, "confidence": confidence, "source": source, "shift": 0.0, "beats_s": [0.0, 0.5, 1.0, 1.5]}


def test_the_envelope_shows_where_the_sound_is() -> None:
    low, high = envelope(a_late_burst(), 40)
    loud = high - low > 0.5
    assert loud[21:29].all() and not loud[:19].any() and not loud[31:].any()
    assert np.isclose(max(high.max(), -low.min()), 1.0)


@pytest.mark.parametrize("beats", [recorded(0.9), None])
def test_what_the_browser_draws(beats: dict[str, Any] | None) -> None:
    shown = shown_beats("job", a_late_burst(), beats, np.array([0.5, 1.0]), [0.25])
    assert shown["seconds"] == 2.0 and max(shown["high"]) == 100 and min(shown["low"]) >= -100
    assert shown["beats_s"] == (beats and beats["beats_s"])
    assert (shown["heard_s"], shown["danced_s"]) == ([0.5, 1.0], [0.25])
    silent = shown_beats("job", Music(np.zeros((1, 8000), np.float32), 8000), beats, [], [])
    assert set(silent["low"]) == set(silent["high"]) == {0}


def test_confidence_in_plain_words() -> None:
    assert sentence_about(recorded(0.9)) == "120.0 BPM, read from the dance; its beat is clear (confidence 0.90 of 1)."
    assert "not very clear" in sentence_about(recorded(0.4))
    assert "could not be read well (confidence 0.05 of 1); correct it below" in sentence_about(recorded(0.05))
    assert "could not be read well" in sentence_about(recorded(0.05, "tempo"))
    assert "as you chose" in sentence_about(recorded(0.9, "tempo"))
    assert sentence_about(recorded(0.05, "file")) == "120.0 BPM, on the beats that you gave."
    assert "read no beats" in sentence_about(None)


def test_beats_from_a_browser_are_checked() -> None:
    times = [0.5 * number for number in range(-1, 8)]
    np.testing.assert_array_equal(checked_beats(times, 3.0).beats_s, times)
    bad: list[tuple[Any, str]] = [
        (None, "expected a list"), ("0 1 2", "expected a list"), ({"0": 1}, "expected a list"), ([0, "1", 2], "expected a list"),
        ([0, True], "expected a list"), ([[0, 1], [2, 3]], "expected a list"), (times * 1000, "expected a list"),
        ([], "at least two times"), ([1.0], "at least two times"), ([0, 1, 0.5, 3], "that rise"),
        ([0, 1, float("nan")], "that rise"), ([0, 10**400], "expected times"), ([0, 1e300, 1.5e300], "BPM"),
        ([0, 2, 4], "30 BPM"), ([0.1 * number for number in range(31)], "600 BPM"),
        (times[:3], "its last beat is at 0.50 s"), ([time + 20 for time in times], "its first beat is at 19.50 s"),
    ]  # fmt: skip
    for sent, said in bad:
        with pytest.raises(BadConfig, match=said) as raised:
            checked_beats(sent, 3.0)
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 200


@pytest.fixture
def folder() -> Any:
    made = PageFolder()
    yield made
    made.close()


@pytest.mark.parametrize("name", ["film.mp4", "dance.npy"])
def test_corrected_beats_replace_the_tempo_and_a_film_is_watched_once(
    folder: PageFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[ClipRequest] = []

    def noted(request: ClipRequest, *_: Any) -> Any:
        asked.append(request)
        raise BadConfig("enough")

    monkeypatch.setattr("d2m.web.jobs.make_clip", noted)
    jobs = JobQueue(Dance2Music.__new__(Dance2Music), folder, UploadLimits())  # makes no music here
    upload = Upload(folder.work / name, name, 3.0, is_motion=name.endswith("npy"))
    upload.path.touch()
    grid = BeatGrid.regular(100, 0.2, 3.0)
    for settings in (SETTINGS, replace(SETTINGS, beats=grid)):
        with pytest.raises(BadConfig, match="enough"):
            jobs.run(upload, settings, lambda stage, share: None)
    assert [(one.tempo_bpm, one.beats) for one in asked] == [(118.0, None), (None, grid)]
    seen: list[Path | None] = [one.landmarks for one in asked]
    assert seen == ([None] * 2 if upload.is_motion else [folder.work / "film.person1.npz"] * 2)


def test_again_after_the_upload_was_removed_is_one_sentence(folder: PageFolder) -> None:
    jobs = JobQueue(Dance2Music.__new__(Dance2Music), folder, UploadLimits())
    with pytest.raises(BadInput, match=r"a\.pkl: is no longer on the server"):
        jobs.run(Upload(folder.work / "gone.npy", "a.pkl", 3.0, True), SETTINGS, lambda stage, share: None)
