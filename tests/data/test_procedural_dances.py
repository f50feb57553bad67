"""The procedural dances: bodies stay sane, genres differ, and the beat is in them as real dancers have it."""

import inspect

import mir_eval
import numpy as np
import pytest
from scipy.signal import argrelextrema

from d2m.core.aist_names import GENRES
from d2m.data.synthetic.body import BALL_HEIGHT_M
from d2m.data.synthetic.choreography import ARMS, BODY_CHANNELS, EASES, LIMITS_DEG_OR_M, KeyframeTrack, minimum_jerk
from d2m.data.synthetic.dances import VOCABULARIES, choreograph
from d2m.data.synthetic.phases import PARTS, PHASES, Timing
from d2m.evaluation.dance_statistics import synthetic_dances
from d2m.metrics.alignment import speed_drop
from d2m.metrics.beat_tracker import track_envelope_beats_s
from d2m.metrics.dance_rhythm import phases
from d2m.motion.smpl import JOINT_NAMES, axis_angle_to_matrix, joint_positions

FPS = 60
BEATS_S = -2.1 + np.arange(40) * 60 / 104
SECONDS = 13.0


def positions(genre: str, dancer: int = 4, seed: int = 0, beats_s: np.ndarray = BEATS_S) -> np.ndarray:
    dance = choreograph(genre, beats_s, 0, SECONDS, dancer, seed)
    rotations = axis_angle_to_matrix(dance.poses.reshape(-1, 24, 3).astype(np.float64))
    return joint_positions(rotations, dance.trans.astype(np.float64))


def speed(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.gradient(joints, 1 / FPS, axis=0), axis=-1).sum(axis=1)


def true_beats(beats_s: np.ndarray) -> np.ndarray:
    return beats_s[(beats_s >= 0) & (beats_s < SECONDS)]


def test_every_genre_has_a_vocabulary_of_real_words() -> None:
    assert set(VOCABULARIES) == set(GENRES)
    for words in VOCABULARIES.values():
        assert len(words.moves) >= 6
        assert {move.beats for move in words.moves} <= {1, 2, 4} and len({move.beats for move in words.moves}) >= 2
        assert any(factor != 1 for move in words.moves for factor in move.stretch), "no half or double time"
        for each in [key for move in words.moves for key in move.keys] + list(words.groove):
            assert set(each.body) <= set(BODY_CHANNELS)
            assert each.ease is None or each.ease in EASES
            assert {arm for arm in (each.left_arm, each.right_arm) if arm} <= set(ARMS)
        assert all(key.at < move.beats for move in words.moves for key in move.keys)


def test_mirroring_twice_gives_the_move_back() -> None:
    for move in VOCABULARIES["gBR"].moves:
        assert move.mirrored() != move
        assert move.mirrored().mirrored() == move


def test_a_dance_is_fixed_by_its_seed_and_has_the_length_asked_for() -> None:
    first, again, other = (choreograph("gHO", BEATS_S, 0, 7.25, 20, seed) for seed in (1, 1, 2))
    assert first.poses.shape == (435, 72) and first.trans.shape == (435, 3)
    assert first.poses.dtype == np.float32 and first.trans.dtype == np.float32
    np.testing.assert_array_equal(first.poses, again.poses)
    assert np.abs(first.poses - other.poses).max() > 0.3


def test_dancers_dance_the_same_choreography_seed_in_their_own_way() -> None:
    one, two = (choreograph("gWA", BEATS_S, 0, 6.0, dancer, 3) for dancer in (25, 26))
    assert np.abs(one.poses - two.poses).max() > 0.2


@pytest.mark.parametrize("genre", GENRES)
def test_bodies_stay_upright_above_the_floor_and_within_their_limits(genre: str) -> None:
    for seed in range(3):
        dance = choreograph(genre, BEATS_S, 0, SECONDS, 5 + seed, seed)
        joints = positions(genre, 5 + seed, seed)
        assert np.isfinite(joints).all()
        assert joints[..., 1].min() > BALL_HEIGHT_M - 0.02, "something sinks into the floor"
        assert (joints[:, JOINT_NAMES.index("head"), 1] - joints[:, 0, 1]).min() > 0.2, "upside down"
        poses = dance.poses.reshape(-1, 24, 3)
        for side, sign in (("left", -1), ("right", 1)):
            knee, elbow = poses[:, JOINT_NAMES.index(f"{side}_knee")], poses[:, JOINT_NAMES.index(f"{side}_elbow")]
            assert np.abs(knee[:, 1:]).max() < 1e-3 and knee[:, 0].min() >= 0 and knee[:, 0].max() < 2.65
            flexion = sign * elbow[:, 1]
            assert flexion.min() >= 0 and flexion.max() <= np.radians(LIMITS_DEG_OR_M["elbow"][1]) + 1e-3
        fastest = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() * FPS
        assert fastest < 18, "faster than a human hand"
        facing = joints[:, JOINT_NAMES.index("left_hip")] - joints[:, JOINT_NAMES.index("right_hip")]
        assert np.median(facing[:, 0]) > 0.1, "does not look to +z"


@pytest.mark.parametrize("genre", GENRES)
def test_feet_on_the_floor_stay_where_they_are(genre: str) -> None:
    joints = positions(genre)
    sliding = []
    for side in ("left", "right"):
        ball = joints[:, JOINT_NAMES.index(f"{side}_foot")]
        across = np.linalg.norm(np.gradient(ball[:, [0, 2]], 1 / FPS, axis=0), axis=1)
        sliding.append(across[ball[:, 1] < BALL_HEIGHT_M + 0.003])
    slides = np.concatenate(sliding)
    assert len(slides) > 0.4 * len(joints), "the dancer floats"
    assert np.mean(slides > 0.3) < 0.04 and slides.mean() < 0.05


def test_genres_do_not_move_alike() -> None:
    hands = [JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("right_wrist")]
    feet = [JOINT_NAMES.index("left_foot"), JOINT_NAMES.index("right_foot")]

    def busy(genre: str, joints: list[int]) -> float:
        seeds = [positions(genre, seed=seed) for seed in range(3)]
        return float(
            np.mean([np.abs(np.diff(each[:, joints] - each[:, :1], axis=0)).sum(-1).mean() * FPS for each in seeds])
        )

    arms, legs = ({genre: busy(genre, joints) for genre in GENRES} for joints in (hands, feet))
    assert arms["gWA"] > 1.1 * arms["gMH"], "waack lives in the arms, though those of hip-hop swing with the bounce"
    assert legs["gHO"] > 1.5 * legs["gPO"], "house lives in the feet"


def test_the_beat_is_in_the_motion_but_simple_rules_do_not_give_it_away() -> None:
    scores, tracked, shares = [], [], []
    for number, genre in enumerate(GENRES):
        for bpm in (92, 124):
            beats_s = -1.37 - 0.11 * number + np.arange(60) * 60 / bpm
            fast = speed(positions(genre, number, bpm, beats_s))
            minima_s = argrelextrema(fast, np.less, order=10)[0] / FPS
            tracked_s = track_envelope_beats_s(speed_drop(fast), frame_rate=FPS)
            tracked.append(mir_eval.beat.f_measure(true_beats(beats_s), tracked_s))
            scores.append(mir_eval.beat.f_measure(true_beats(beats_s), minima_s))
            shares.append(np.mean(np.abs(minima_s[:, None] - beats_s).min(axis=1) < 0.07))
    assert 0.25 < np.mean(scores) <= 0.5, "real dancers: 0.42 to 0.44"
    assert np.mean(tracked) <= 0.5, "real dancers: 0.35"
    assert 0.25 < np.mean(shares) < 0.5, "a dancer who rests on beats is not one"


def test_every_genre_has_phases_and_a_dance_keeps_to_them() -> None:
    assert set(PHASES) == set(GENRES)
    deviations = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        timing = Timing("gHO", seed % 3, rng)
        deviations.append([timing.fastest[part] - getattr(PHASES["gHO"], part).fastest for part in PARTS])
        first = timing.sunk
        timing.new_phrase(rng)
        assert timing.sunk != first and abs(timing.sunk - PHASES["gHO"].bounce[0].lowest) < 0.16
    spreads = [getattr(PHASES["gHO"], part).spread for part in PARTS]
    np.testing.assert_allclose(np.std(deviations, axis=0), spreads, rtol=0.5)


def test_the_pelvis_sinks_where_real_dancers_of_the_genre_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("d2m.evaluation.dance_statistics.GENRES", ("gHO", "gMH"))  # the others cost seconds
    seen = synthetic_dances(6, 26.0, 3)
    house, hip_hop = (phases([d for d in seen if d.genre == genre])["pelvis height"] for genre in ("gHO", "gMH"))
    assert house["1"]["agreement"] > 0.8 and 0.5 < house["1"]["phase_beats"] < 0.75, "highest; real house: 0.68"
    assert hip_hop["0.5"]["agreement"] > 0.6 and 0.18 < hip_hop["0.5"]["phase_beats"] < 0.34, "real hip-hop: 0.25"


def test_motion_follows_the_beat_and_not_the_clock() -> None:
    later = BEATS_S + 0.2
    here, there = (choreograph("gMH", beats, 0, 8.0, 22, 5) for beats in (BEATS_S, later))
    shift = 12
    arm = slice(3 * JOINT_NAMES.index("left_shoulder"), 3 * JOINT_NAMES.index("left_shoulder") + 3)
    moved = np.abs(here.poses[:-shift, arm] - there.poses[shift:, arm]).mean()
    stayed = np.abs(here.poses[:-shift, arm] - there.poses[:-shift, arm]).mean()
    assert moved < 0.6 * stayed


def test_a_timeline_arrives_on_its_keys_and_a_hit_waits() -> None:
    line = KeyframeTrack()
    line.add("dip", 0.0, 0.0, "smooth", 1.0)
    line.add("dip", 1.0, 2.0, "whip", 1.0)
    values = line.at("dip", np.array([0.0, 0.8, 1.0, 5.0]))
    np.testing.assert_allclose(values, [0, 0, 2, 2], atol=1e-9)
    np.testing.assert_allclose(minimum_jerk(np.array([0.0, 0.5, 1.0])), [0, 0.5, 1])


def test_a_flowing_timeline_passes_its_keys_at_speed_and_never_overshoots() -> None:
    line, rests = KeyframeTrack(), KeyframeTrack()
    for number, value in enumerate((0.0, 2.0, 3.0, 1.0)):
        line.add("dip", float(number), value, "flow", 1.0)
        rests.add("dip", float(number), value, "smooth", 1.0)
    at = np.array([0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(line.at("dip", at), [0, 2, 3, 1], atol=1e-9)
    slope, rest = ((track.at("dip", at + 1e-3) - track.at("dip", at - 1e-3)) / 2e-3 for track in (line, rests))
    assert slope[1] > 1 and abs(slope[2]) < 0.05, "through a key on the way, round a turning point"
    assert abs(rest[1]) < 0.05
    whole = line.at("dip", np.linspace(0, 3, 301))
    assert whole.min() >= -1e-9 and whole.max() <= 3 + 1e-9


def test_the_interface_is_the_agreed_one() -> None:
    assert list(inspect.signature(choreograph).parameters) == [
        "genre", "beats_s", "downbeat_index", "seconds", "dancer", "seed", "energy",
    ]  # fmt: skip


@pytest.mark.parametrize("genre", ["gHO", "gKR", "gJB"])
def test_moves_are_larger_where_the_music_is_fuller_and_come_at_the_same_time(genre: str) -> None:
    def danced(energy: np.ndarray | None) -> np.ndarray:
        dance = choreograph(genre, BEATS_S, 0, SECONDS, 4, 7, energy)
        return joint_positions(
            axis_angle_to_matrix(dance.poses.reshape(-1, 24, 3).astype(np.float64)), dance.trans.astype(np.float64)
        )

    empty, full = (danced(np.full(len(BEATS_S), energy)) for energy in (0.2, 1.0))
    assert 1.25 < speed(full).mean() / speed(empty).mean() < 2.2
    hands = JOINT_NAMES.index("left_wrist")
    a, b = (np.gradient(joints[:, hands] - joints[:, 0], axis=0).ravel() for joints in (empty, full))
    assert np.corrcoef(a, b)[0, 1] > 0.6, "the same moves at the same times"
    rising = np.where(np.arange(len(BEATS_S)) * 60 / 104 < 2.1 + SECONDS / 2, 0.2, 1.0)
    pace, half = speed(danced(rising)), len(full) // 2
    assert pace[half:].sum() / pace[:half].sum() > 1.1 * speed(full)[half:].sum() / speed(full)[:half].sum()
