"""Pairing by name: seeds aside, true beats found where they lie, and nothing dropped in silence."""

from pathlib import Path

import numpy as np
import pytest

from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.evaluation.references import find_pairs, find_references
from d2m.metrics.beats import load_beats_s


def touch_wav(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Music(np.zeros((1, 2205), dtype=np.float32), 22050).save(path)


def write_beats(path: Path, text: str = "0.5\n1.0\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_pairs_by_name_with_several_seeds_and_lists_leftovers(tmp_path):
    for clip in ("a_seed0", "a_seed12", "b", "stranger_seed0"):
        touch_wav(tmp_path / "generated" / f"{clip}.wav")
    for name in ("a", "b", "lonely"):
        touch_wav(tmp_path / "reference" / f"{name}.wav")
    (tmp_path / "dances").mkdir()
    (tmp_path / "dances" / "a.npy").write_bytes(b"")
    pairing = find_pairs(
        tmp_path / "generated", find_references(tmp_path / "reference"), tmp_path / "dances", tmp_path / "reference"
    )
    assert [(pair.clip, pair.name, pair.seed) for pair in pairing.pairs] == [
        ("a_seed0", "a", 0), ("a_seed12", "a", 12), ("b", "b", None),
    ]  # fmt: skip
    assert pairing.unpaired == {
        "generated": ["stranger_seed0"], "reference": ["lonely"], "without_dance": ["b"], "without_roundtrip": [],
    }  # fmt: skip
    assert pairing.pairs[0].dance == tmp_path / "dances" / "a.npy" and pairing.pairs[2].dance is None


def test_a_reference_may_itself_end_in_a_seed(tmp_path):
    touch_wav(tmp_path / "generated" / "a_seed0.wav")
    touch_wav(tmp_path / "reference" / "a_seed0.wav")
    pairing = find_pairs(tmp_path / "generated", find_references(tmp_path / "reference"))
    assert (pairing.pairs[0].name, pairing.pairs[0].seed) == ("a_seed0", None)


def test_true_beats_are_found_beside_inside_and_where_told(tmp_path):
    root = tmp_path / "set"
    touch_wav(root / "wavs" / "a.wav")
    touch_wav(root / "wavs" / "b.wav")
    beside = write_beats(root / "beats" / "a.txt")
    write_beats(root / "beats" / "other.txt")
    for folder in (root, root / "wavs"):
        found = find_references(folder)
        assert sorted(found) == ["a", "b"]
        assert found["a"].beats == beside and found["b"].beats is None
    inside = write_beats(root / "wavs" / "a.txt")
    assert find_references(root / "wavs")["a"].beats == inside
    told = write_beats(tmp_path / "mine" / "a.txt")
    assert find_references(root / "wavs", beats=tmp_path / "mine")["a"].beats == told
    assert find_references(root / "wavs", true_beats=False)["a"].beats is None
    only_lists = find_references(root / "beats", true_beats=False)
    assert only_lists["a"].audio is None and only_lists["a"].beats == beside


def test_folders_without_use_say_so(tmp_path):
    (tmp_path / "empty").mkdir()
    touch_wav(tmp_path / "reference" / "a.wav")
    references = find_references(tmp_path / "reference")
    with pytest.raises(BadInput, match="no such folder"):
        find_references(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="neither wavs nor beat lists"):
        find_references(tmp_path / "empty")
    with pytest.raises(BadInput, match="no audio files"):
        find_pairs(tmp_path / "empty", references)
    touch_wav(tmp_path / "generated" / "z_seed0.wav")
    with pytest.raises(BadInput, match="none of 1 generated files has a reference"):
        find_pairs(tmp_path / "generated", references)


def test_beat_list_layouts(tmp_path):
    path = write_beats(tmp_path / "a.txt", "# made by hand\n0.5\t1\n\n1.25 2\n2.0,1\n")
    assert load_beats_s(path).tolist() == [0.5, 1.25, 2.0]


@pytest.mark.parametrize("times", [[500.0, 1000.0, 1500.0, 6200.0], [1.0, 6_200_000.0], [500.0, 1000.0]])
def test_beat_lists_in_milliseconds_are_refused(tmp_path, times):
    with pytest.raises(BadInput, match=r"a\.txt: found a last beat at .*look like milliseconds: divide by 1000"):
        load_beats_s(write_beats(tmp_path / "a.txt", "".join(f"{time_s}\n" for time_s in times)))


@pytest.mark.parametrize("text", ["", "\n", "half past\n", "2\n1\n", "-1\n", "nan\n"])
def test_bad_beat_lists_name_the_file(tmp_path, text):
    with pytest.raises(BadInput, match="a.txt"):
        load_beats_s(write_beats(tmp_path / "a.txt", text))


def test_a_sound_of_another_format_is_named_and_not_passed_over(tmp_path):
    touch_wav(tmp_path / "generated" / "song_seed0.wav")
    touch_wav(tmp_path / "reference" / "other.wav")
    (tmp_path / "reference" / "song.m4a").write_bytes(b"")
    with pytest.raises(BadInput, match=r"song\.m4a: found a \.m4a file, expected \.wav.*ffmpeg -i song\.m4a song\.wav"):
        find_references(tmp_path / "reference")
    touch_wav(tmp_path / "reference" / "song.wav")  # the same, converted
    references = find_references(tmp_path / "reference")
    assert set(references) == {"song", "other"}
    (tmp_path / "generated" / "more.M4A").write_bytes(b"")
    with pytest.raises(BadInput, match=r"more\.M4A: found a \.m4a file"):
        find_pairs(tmp_path / "generated", references)
