"""`checkpoint=retrieval` goes through the same doors as every system: façade, folder of dances, command."""

import json

import numpy as np
import pytest
import torch
from tests_support_songs import drummed, write_songs
from tests_support_sounding import moving

from d2m.cli import main
from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.metrics.beats import beat_f
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid
from d2m.rhythm.reader import body_points, side_views
from d2m.songs.listening import attacks_s


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    return write_songs(folder, slow=drummed(84, 40, rate=8000), quick=drummed(126, 64, rate=16000))


@pytest.fixture(scope="module")
def model() -> Dance2Music:
    return Dance2Music.load("retrieval")


DANCE = Dance(moving(480, 0), "me")


@pytest.mark.parametrize(("bpm", "song"), [(120.0, "quick.wav"), (90.0, "slow.wav"), (175.0, "slow.wav")])
def test_song_of_the_tempo_is_put_on_the_beats_that_are_asked_for(model, songs, bpm, song):
    grid = BeatGrid.regular(bpm, 0.17, DANCE.seconds)
    music, record = model.generate(DANCE, beats=grid, songs=str(songs))
    assert music.sample_rate == 44100 and music.waveform.shape == (2, 8 * 44100)
    said = json.loads(json.dumps(record.as_json()))
    assert said["passage"]["song"] == song and said["passage"]["rank"] == 0
    assert 1 / 1.13 < said["passage"]["stretch"] < 1.13 and said["beats"]["source"] == "file"
    attacks = attacks_s(music.waveform.mean(axis=0), 44100)[0]
    inside = grid.within(7.4)
    near = np.abs(attacks[:, None] - inside[None]).min(axis=0)
    assert np.median(near) < 0.01


def test_seeds_rank_the_passages_and_the_same_seed_gives_the_same(model, tmp_path):
    folder = write_songs(tmp_path, first=drummed(122, 24, rate=8000), second=drummed(114, 24, rate=8000))

    def made(seed):
        music, record = model.generate(DANCE, seed, tempo_bpm=120, songs=str(folder))
        return music.waveform, record.settings["passage"]

    (first, best), (again, _), (other, second) = made(0), made(0), made(1)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert best["scores"]["total"] >= second["scores"]["total"] and second["rank"] == 1
    _, last = made(best["of"])
    assert last["rank"] == 0


def test_the_genre_of_a_film_is_what_was_read_in_its_picture(model, songs):
    """And not what the reader says of the body that was made of it."""
    points = side_views(body_points(torch.from_numpy(DANCE.features)[None]), 1)
    film = Dance(np.repeat(DANCE.features[:1], len(DANCE.features), axis=0), "film", points=points[0].numpy())
    _, record = model.generate(film, tempo_bpm=120, songs=str(songs))
    read = model.music_generator.rhythm_reader.read_points(points).genre_probabilities
    assert record.genre_probability == pytest.approx(float(read.max()), abs=1e-3)


def test_no_song_near_the_tempo_says_which_is_nearest(model, songs):
    with pytest.raises(BadInput, match=r"nearest is .*\.wav with \d+ BPM, \d+% too (slow|fast)") as refused:
        model.generate(DANCE, tempo_bpm=104, songs=str(songs))
    assert "\n" not in str(refused.value)


def test_folder_is_needed_and_nothing_else_is_taken(model, tmp_path):
    with pytest.raises(BadConfig, match="songs= is missing"):
        model.generate(DANCE)
    for settings in ({"songs": str(tmp_path / "none")}, {"songs": 3}, {"steps": 3}):
        with pytest.raises(BadConfig):
            model.generate(DANCE, **settings)
    with pytest.raises(BadConfig, match="autoencoder"):
        Dance2Music.load("retrieval", "demo")


def test_command_takes_a_folder_of_songs(songs, tmp_path, capsys):
    np.save(tmp_path / "me.npy", DANCE.features)
    out = tmp_path / "a.wav"
    assert (
        main([str(tmp_path / "me.npy"), "-o", str(out), "--songs", str(songs), "--tempo", "120", "--takes", "2"]) == 0
    )
    said = capsys.readouterr().out
    assert "seed 0" in said.splitlines()[0] and "quick.wav from" in said
    assert Music.load(out).sample_rate == 44100 and (tmp_path / "a_take2.wav").is_file()


def test_command_says_at_once_that_there_is_no_such_folder(tmp_path, capsys):
    np.save(tmp_path / "me.npy", DANCE.features)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "me.npy"), "-o", str(tmp_path / "a.wav"), "--songs", str(tmp_path / "none")])
    assert "no such folder" in capsys.readouterr().err


def test_beats_are_heard_where_they_were_given(model, songs):
    from d2m.metrics.beat_tracker import track_beats_s

    grid = BeatGrid.regular(118.0, 0.2, DANCE.seconds)
    music, _ = model.generate(DANCE, beats=grid, songs=str(songs))
    assert beat_f(grid.within(DANCE.seconds), track_beats_s(music), 0.07) > 0.9
