"""A clip in, the same clip with music out: takes in order, films on time, dances as stick figures."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from tests_support_films import decoded, write_film
from tests_support_video import landmarks_of

from d2m.clip_pipeline import Clip, ClipRequest, make_clip, write_clip_poster, write_take
from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.motion.dance import Dance
from d2m.motion.readers import Hints
from d2m.pipeline import Dance2Music

NAME = "gHO_sBM_cAll_d20_mHO5_ch02"


@pytest.fixture(scope="module")
def model() -> Dance2Music:
    return Dance2Music.load("demo")


@pytest.fixture(scope="module")
def dance_clip(model, two_clips) -> Clip:
    stages = []
    clip = make_clip(
        ClipRequest(two_clips / "motions" / f"{NAME}.pkl", seed=3, takes=2),
        model,
        lambda *report: stages.append(report),
    )
    assert [stage for stage, share in stages if share == 1.0] == ["watching", "composing", "listening"]
    assert all(0 <= share <= 1 for _, share in stages)
    composing = [share for stage, share in stages if stage == "composing"]
    assert composing == sorted(composing) and len(composing) > 10
    return clip


@pytest.fixture(scope="module")
def film_clip(model, two_clips, tmp_path_factory) -> Clip:
    """A film turned on its side, whose landmarks were saved before."""
    folder = tmp_path_factory.mktemp("film")
    source = write_film(folder / "é 'a=b',.mp4", rotation=90)
    times_s, _ = decoded(source)
    dance = Dance.load(two_clips / "motions" / f"{NAME}.pkl")
    landmarks = landmarks_of(dance.features[:120], size=(96, 160))
    replace(landmarks, times_s=times_s).save(folder / "seen.npz")
    return make_clip(ClipRequest(source, landmarks=folder / "seen.npz", genre="gPO"), model)


def test_takes_are_best_first_and_made_again_by_their_seed(model, dance_clip):
    takes = dance_clip.takes
    assert sorted(take.seed for take in takes) == [3, 4]
    assert takes[0].alignment >= takes[1].alignment > 0 and len(takes[0].beats_s) > 5
    assert all(take.genre == "gHO" and take.genre_probability > 0.5 for take in takes)
    assert all(take.music.seconds == pytest.approx(dance_clip.dance.seconds, abs=1e-3) for take in takes)
    again = model(dance_clip.dance, seed=takes[1].seed)
    np.testing.assert_array_equal(again.waveform, takes[1].music.waveform)


def test_wav_and_film_of_a_dance(tmp_path, dance_clip):
    take = dance_clip.takes[0]
    short = replace(dance_clip, dance=Dance(dance_clip.dance.features[:60], "short"))
    wav = write_take(short, take, tmp_path / "a b.wav")
    assert Music.load(wav).waveform.shape == take.music.waveform.shape
    with av.open(str(write_take(short, take, tmp_path / "a.MP4"))) as film:
        assert [stream.codec_context.name for stream in film.streams] == ["h264", "aac"]
    assert write_clip_poster(short, take, tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize("overlay", [False, True])
def test_film_keeps_its_pictures_or_gets_the_skeleton(tmp_path, film_clip, overlay):
    assert film_clip.seen_share == 1 and film_clip.takes[0].genre == "gPO"
    out = write_take(film_clip, film_clip.takes[0], tmp_path / "out é.mp4", overlay)
    (before_s, before), (after_s, after) = decoded(film_clip.source), decoded(out)
    np.testing.assert_allclose(after_s, before_s, atol=1e-4)
    shown = (after[0].width, after[0].height) if after[0].rotation == 0 else (after[0].height, after[0].width)
    assert shown == (96, 160) and after[0].rotation == (0 if overlay else 90)
    if not overlay:
        np.testing.assert_array_equal(before[30].to_ndarray(), after[30].to_ndarray())
    with av.open(str(out)) as film:
        sound_s, pictures_s = (float(s.duration * s.time_base) for s in (film.streams.audio[0], film.streams.video[0]))
    assert abs(sound_s - pictures_s) < 0.02


def test_the_wav_of_a_film_of_uneven_rate_is_as_long_as_the_film(tmp_path, film_clip):
    take = film_clip.takes[0]
    with av.open(str(write_take(film_clip, take, tmp_path / "a.mp4"))) as film:
        film_s = film.duration / av.time_base
    wav = Music.load(write_take(film_clip, take, tmp_path / "a.wav"))
    assert abs(wav.seconds - film_s) < 0.005


def test_poster_of_a_film(tmp_path, film_clip):
    assert write_clip_poster(film_clip, film_clip.takes[0], tmp_path / "a.gif").stat().st_size > 1000


def test_source_is_never_overwritten(film_clip):
    content = film_clip.source.read_bytes()
    with pytest.raises(BadConfig, match="never overwritten"):
        write_take(film_clip, film_clip.takes[0], film_clip.source)
    assert film_clip.source.read_bytes() == content


def test_bad_requests_are_one_sentence(model, tmp_path, film_clip):
    (tmp_path / "text.mp4").write_text("no film")
    for request, kind in (
        (ClipRequest(tmp_path / "text.mp4"), BadInput),
        (ClipRequest(tmp_path / "none.pkl"), BadInput),
        (ClipRequest(Path(film_clip.source), takes=0), BadConfig),
        (ClipRequest(Path(film_clip.source), hints=Hints(fps=25)), BadConfig),
        (ClipRequest(Path(film_clip.source), hints=Hints(up="z")), BadConfig),
    ):
        with pytest.raises(kind):
            make_clip(request, model)
    with pytest.raises(BadConfig, match=r"\.mp4 or \.wav"):
        write_take(film_clip, film_clip.takes[0], tmp_path / "a.mov")
