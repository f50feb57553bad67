"""Tuning songs: carved out of train by song, one of each genre, never one of the test songs."""

import pytest
from tests_support_official import TRAIN

from d2m.data.aistpp.annotations import shared_songs, song_of, tuning_split
from d2m.data.synthetic.write import plan_sequences


def aistpp_train() -> tuple[list[str], list[str]]:
    """A training list over AIST++'s fifty songs, and its official test list."""
    plan = plan_sequences(1000)
    train = [planned.name for planned in plan["train"] if len(planned.song.code) == 4]
    return train, [planned.name for planned in plan["test"]]


@pytest.mark.parametrize("seed", [0, 1])
def test_tuning_parts_the_training_songs_one_of_each_genre(seed: int) -> None:
    train, test = aistpp_train()
    assert len({song_of(name) for name in train}) == 50 and not shared_songs(train, test)
    parts = tuning_split(train, test, seed)
    assert sorted((*parts.train, *parts.val)) == sorted(train)
    assert not shared_songs(parts.train, parts.val) and not shared_songs(parts.val, test)
    assert len(parts.val_songs) == 10 == len({song[1:3] for song in parts.val_songs})
    assert parts == tuning_split(train, test, seed)
    other = tuning_split([name for name in train if not name.startswith("gBR")], test, seed)
    assert set(other.val_songs) == {song for song in parts.val_songs if song[1:3] != "BR"}


def test_seeds_choose_other_songs_and_never_held_out_ones() -> None:
    train, test = aistpp_train()
    assert len({tuning_split(train, test, seed).val_songs for seed in range(4)}) == 4
    leaked = [*train, *test]
    assert all(not shared_songs(tuning_split(leaked, test, seed).val, test) for seed in range(8))


def test_small_training_lists_keep_something_to_train_on() -> None:
    pair = [TRAIN[0], TRAIN[2]]  # two genres with one song each
    assert len(tuning_split(pair).train) == len(tuning_split(pair).val) == 1
    single = tuning_split([TRAIN[0]])
    assert single.val == () and single.train == (TRAIN[0],)
