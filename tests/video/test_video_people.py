"""Several people, cuts and half-seen bodies: detections are made by hand, so that no network is needed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests_support_video import L, landmarks_of, points_of, write_clip

from d2m.core.errors import BadInput
from d2m.data.synthetic.dances import choreograph
from d2m.data.synthetic.songs import Song, render_song
from d2m.motion.dance import Dance
from d2m.motion.features import rotations_to_features
from d2m.motion.inverse_kinematics import TO_Y_UP
from d2m.motion.kinematic_beats import joint_speed
from d2m.motion.landmarks import LANDMARKS, Landmarks, smooth_world
from d2m.render.overlay import Overlay
from d2m.video import pose, video_dance
from d2m.video.detection import Detection
from d2m.video.landmark_cache import landmark_file
from d2m.video.people import SamePerson, people_in
from d2m.video.pose import CutFinder
from d2m.video.reader import Frame
from d2m.video.video_dance import dance_of_landmarks, dance_of_video, dances_of_group, segment_error

WIDTH, HEIGHT = 160, 90
SIZE = (WIDTH, HEIGHT)
STANDING = points_of(rotations_to_features(np.tile(np.eye(3), (1, 24, 1, 1)), np.zeros((1, 3))))[0] * TO_Y_UP
RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def person(x: float, y: float = 0.5, torso: float = 0.2) -> Detection:
    """Shoulders over hips around (x, y), in shares of the picture's width and height."""
    image = np.zeros((LANDMARKS, 3))
    image[:] = x, y, 1.0
    image[L["nose"], 1] = y - torso
    for side, way in (("left", 0.5), ("right", -0.5)):
        image[L[f"{side}_shoulder"], :2] = x + way * torso * HEIGHT / WIDTH, y - torso / 2
        image[L[f"{side}_hip"], :2] = x + way * torso * HEIGHT / WIDTH, y + torso / 2
        image[L[f"{side}_ankle"], 1] = y + 1.5 * torso
    return Detection(image, STANDING)


def painted(people: list[tuple[Detection, tuple[int, int, int]]]) -> np.ndarray:
    """People as coloured boxes on a striped wall; who comes later stands in front."""
    picture = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    picture[:, ::8] = 60
    for one, colour in people:
        (x, y), extent = one.torso(SIZE)
        reach = round(extent / 2)
        picture[max(0, round(y) - reach) : round(y) + reach, max(0, round(x) - reach) : round(x) + reach] = colour
    return picture


class Sees:
    """A detector that finds whoever `where` says is there and is not painted over."""

    def __init__(self, where: Callable[[float], list[tuple[Detection, tuple[int, int, int]]]]) -> None:
        self.where, self.resets, self.calls = where, 0, 0

    def people(self, picture: np.ndarray, time_s: float) -> list[Detection]:
        self.calls += 1
        found = []
        for one, colour in self.where(time_s):
            (x, y), _ = one.torso(SIZE)
            at = picture[min(round(y), HEIGHT - 1), min(max(round(x), 0), WIDTH - 1)].astype(int)
            if np.abs(at - colour).max() < 60:
                found.append(one)
        return found

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None: ...

    def __enter__(self) -> "Sees":
        return self

    def __exit__(self, *error: object) -> None: ...


def frames_of(where: Callable[[float], list], times_s: np.ndarray) -> list[Frame]:
    return [Frame(painted(where(float(time_s))), float(time_s)) for time_s in times_s]


def crossing(time_s: float) -> list[tuple[Detection, tuple[int, int, int]]]:
    """A dancer in red who sways goes from left to right in 4 s, behind somebody in green who goes the other way."""
    red, green = 0.2 + 0.15 * time_s, 0.8 - 0.15 * time_s
    sway = 0.06 * np.sin(2 * np.pi * 1.3 * time_s)
    people = [(person(red, 0.5 + sway, 0.3), RED), (person(green, 0.5, 0.28), GREEN)]
    return people[1:] if abs(red - green) < 0.06 else people


def test_the_dancer_is_large_central_moving_and_stays() -> None:
    def where(time_s: float) -> list:
        sway = 0.05 * np.sin(7 * time_s)
        audience = [(person(0.9, 0.5, 0.25), GREEN), (person(0.1, 0.5, 0.12), BLUE)]
        return [*audience, (person(0.5 + sway, 0.5, 0.25), RED)] if time_s > 0.4 else audience

    found = people_in(frames_of(where, np.arange(0, 6, 0.5)), SIZE, Sees(where))
    middles = [np.median([one.torso(SIZE)[0][0] for _, one, _ in who.sightings]) / WIDTH for who in found]
    assert len(found) == 3 and abs(middles[0] - 0.5) < 0.06 and abs(middles[1] - 0.9) < 0.06
    assert len(found[0].sightings) == 11 and len(found[1].sightings) == 12


@pytest.mark.parametrize("number", [0, 1])
def test_people_are_followed_through_a_crossing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    people = people_in(frames_of(crossing, np.arange(0, 1.2, 0.4)), SIZE, Sees(crossing))
    monkeypatch.setattr(pose, "open_detector", lambda *_, **__: Sees(crossing))
    times_s = np.arange(0, 4, 1 / 25)
    same = people[number].followed(SIZE, people)
    found = pose.find_landmarks(frames_of(crossing, times_s), SIZE, dancer=same)
    is_red = people[number].look is not None and people[number].look[48] > 0.5
    expected = 0.2 + 0.15 * times_s if is_red else 0.8 - 0.15 * times_s
    seen_x = found.image[found.seen][:, L["left_elbow"], 0]
    assert found.seen.mean() > 0.7 and np.abs(seen_x - expected[found.seen]).max() < 0.05


def test_without_their_looks_two_people_keep_their_ways() -> None:
    same = SamePerson(SIZE)
    for number, time_s in enumerate(np.arange(0, 2, 1 / 25)):
        mine, other = person(0.3 + 0.2 * time_s), person(0.7 - 0.2 * time_s, 0.54)
        chosen = same.choose([other, mine] if number % 2 or not number else [mine, other], time_s) if number else None
        if number == 0:
            assert same.choose([mine], time_s) is mine
        else:
            assert chosen is mine


def test_cuts_are_found_and_moving_cameras_and_flashes_are_none() -> None:
    random = np.random.default_rng(0)
    walls = [random.integers(0, 255, (HEIGHT // 6, WIDTH // 6 + 8, 3)).repeat(6, 0).repeat(6, 1) for _ in range(2)]

    def shot(wall: int, shift: int, light: float) -> np.ndarray:
        part = walls[wall][:HEIGHT, shift : shift + WIDTH] * light + random.normal(0, 3, (HEIGHT // 6 * 6, WIDTH, 3))
        return np.clip(part, 0, 255).astype(np.uint8)

    finder = CutFinder()
    pictures = [shot(0, n % 2, 0.9 if n == 9 else 0.5) for n in range(20)] + [shot(1, n % 2, 0.5) for n in range(20)]
    assert [n for n, picture in enumerate(pictures) if finder.is_cut(picture)] == [20]
    assert not finder.is_cut(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


@pytest.fixture(scope="module")
def dance() -> Dance:
    song = render_song(Song("mHO5"), 4.0)
    made = choreograph("gHO", song.beats_s, 0, 4.0, dancer=4, seed=3)
    return Dance.from_smpl(made.poses, made.trans)


def with_cut(dance: Dance) -> Landmarks:
    """The same dance, filmed from 70 degrees aside and in another corner of the picture from 2 s on."""
    seen = landmarks_of(dance.features)
    after = seen.times_s >= 2.0
    turn = np.radians(70)
    world, image = seen.world.copy(), seen.image.copy()
    x, z = seen.world[after, :, 0], seen.world[after, :, 2]
    world[after, :, 0], world[after, :, 2] = np.cos(turn) * x + np.sin(turn) * z, np.cos(turn) * z - np.sin(turn) * x
    image[after, :, 0] += 0.3
    return replace(seen, world=world, image=image, cuts_s=(2.0,))


def test_nothing_is_dragged_across_a_cut(dance: Dance) -> None:
    whole, cut = landmarks_of(dance.features), with_cut(dance)
    true, found = joint_speed(dance_of_landmarks(whole).features), joint_speed(dance_of_landmarks(cut).features)
    missed = joint_speed(dance_of_landmarks(replace(cut, cuts_s=())).features)
    near = slice(105, 136)
    assert missed[near].max() > 2 * true.max()  # what a cut that is not known does
    assert found[near].max() < 1.3 * true[near].max() and np.abs(found - true)[20:-20].mean() < 0.15 * true.mean()
    points = dance_of_landmarks(cut).points
    assert points is not None  # whatever the scale and the place in the new picture
    assert np.abs(np.diff(points, axis=0))[near].max() < 1.5 * np.abs(np.diff(points, axis=0))[:100].max()
    assert segment_error(dance_of_landmarks(cut), cut) < 1.5 * segment_error(dance_of_landmarks(whole), whole) + 0.005
    overlay = Overlay(cut)
    last, first = overlay.landmarks_at(1.999), overlay.landmarks_at(2.0)
    assert last is not None and first is not None
    assert np.allclose(last, cut.image[59]) and np.allclose(first, cut.image[60])


def test_cuts_and_people_are_kept_in_the_file(dance: Dance, tmp_path: Path) -> None:
    cut = replace(with_cut(dance), people=np.array([[0.0, 1, 0.5, 0.1], [0.0, 2, 0.8, 0.2]]))
    back = Landmarks.load(cut.save(tmp_path / "x.npz"))
    assert back.cuts_s == (2.0,) and np.array_equal(back.people, cut.people) and back.until(1.5).cuts_s == ()
    picture = np.zeros((360, 640, 3), np.uint8)
    cut.image[:] = 0
    numbered = Overlay(cut).draw(picture, 0.0)
    assert numbered[:90, 250:400].any() and numbered[:90, 450:600].any()
    assert not Overlay(cut).draw(picture, 3.0)[:, 450:].any()


def test_legs_out_of_the_picture_are_not_believed(dance: Dance) -> None:
    whole = landmarks_of(dance.features, noise_m=0.003)
    legs = [L[f"{side}_{part}"] for side in ("left", "right") for part in ("knee", "ankle", "heel", "foot_index")]
    image, world = whole.image.copy(), whole.world.copy()
    random = np.random.default_rng(0)
    image[:, legs, 1:] = 1.2, 0.1
    world[:, legs] += random.normal(0, 0.15, world[:, legs].shape)  # a detector's guesses tremble
    half = replace(whole, image=image, world=world)
    assert half.outside_share("ankle") == 1 and half.outside_share("wrist") == 0 and half.seen_share == 1
    still = smooth_world(half)
    assert np.abs(np.diff(still[:, legs], axis=0)).max() < 1e-6
    arms = [L["left_wrist"], L["right_wrist"]]
    assert np.abs(still[:, arms] - smooth_world(whole)[:, arms]).max() < 1e-6
    found = dance_of_landmarks(half)
    assert found.points is not None and np.ptp(found.points[:, -4:], axis=0).max() < 1e-6  # knees and ankles
    assert np.isfinite(found.features).all() and segment_error(found, half) < 0.06
    bounce, true = found.features[:, 1], dance_of_landmarks(whole).features[:, 1]
    assert bounce.std() < 3 * true.std() + 0.02


def test_a_hand_that_leaves_the_picture_for_a_moment_is_bridged(dance: Dance) -> None:
    whole = landmarks_of(dance.features)
    image, world = whole.image.copy(), whole.world.copy()
    image[40:44, L["left_wrist"]], world[40:44, L["left_wrist"]] = (-0.1, 0.5, 0.2), 3.0
    found = smooth_world(replace(whole, image=image, world=world))
    assert np.linalg.norm(found - smooth_world(whole), axis=-1).max() < 0.3


def film_of(tmp_path: Path, where: Callable[[float], list], seconds: float = 3.0) -> Path:
    times_s = np.arange(0, seconds, 1 / 25)
    return write_clip(tmp_path / "two people.mp4", [frame.picture for frame in frames_of(where, times_s)], times_s)


def standing(time_s: float) -> list[tuple[Detection, tuple[int, int, int]]]:
    return [
        (person(0.3, 0.5 + 0.03 * np.sin(9 * time_s), 0.3), RED),
        (person(0.75, 0.5 + 0.02 * np.sin(9 * time_s), 0.25), BLUE),
    ]


def test_another_person_or_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose, "open_detector", lambda *_, **__: Sees(standing))
    film = film_of(tmp_path, standing)
    first, second = dance_of_video(film), dance_of_video(film, person=2)
    assert first.seen_share > 0.95 and second.seen_share > 0.9
    assert np.median(first.landmarks.image[:, 0, 0]) < 0.4 and np.median(second.landmarks.image[10:, 0, 0]) > 0.6
    assert set(first.landmarks.people[:, 1]) == {1, 2}
    with pytest.raises(BadInput, match="found 2 people, expected number 3 among them"):
        dance_of_video(film, person=3)
    group = dances_of_group(film, tmp_path / "seen.npz")
    assert len(group) == 2 and (tmp_path / "seen.person2.npz").exists()


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film, saved = film_of(tmp_path, standing), tmp_path / "seen.npz"
    monkeypatch.setattr(pose, "_KEPT_EVERY_S", 0.0)
    uncut = Sees(standing)
    monkeypatch.setattr(pose, "open_detector", lambda *_, **__: uncut)
    whole = dance_of_video(film).landmarks

    class Tires(Sees):
        def people(self, picture: np.ndarray, time_s: float) -> list[Detection]:
            if time_s > 2:
                raise KeyboardInterrupt
            return super().people(picture, time_s)

    monkeypatch.setattr(pose, "open_detector", lambda *_, **__: Tires(standing))
    monkeypatch.setattr(video_dance, "_LOOK_ROUND_S", 1.0)
    with pytest.raises(KeyboardInterrupt):
        dance_of_video(film, landmarks=saved)
    assert not saved.exists() and Landmarks.load(f"{saved}.part").times_s[-1] > 1.9
    second = Sees(standing)
    monkeypatch.setattr(pose, "open_detector", lambda *_, **__: second)
    again = dance_of_video(film, landmarks=saved).landmarks
    assert second.calls < 40 and not Path(f"{saved}.part").exists() and saved.exists()
    assert np.allclose(again.image, whole.image, atol=1e-5) and np.array_equal(again.times_s, whole.times_s)


def test_where_landmarks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D2M_CACHE", str(tmp_path / "cache"))
    film = tmp_path / "a.mp4"
    film.write_bytes(b"film")
    kept = landmark_file(film)
    assert kept is not None and kept.parent == tmp_path / "cache" / "landmarks"
    assert landmark_file(film.rename(tmp_path / "b.mp4")) == kept != landmark_file(tmp_path / "b.mp4", person=2)
    assert landmark_file(tmp_path / "b.mp4", tmp_path / "missing.onnx") != kept  # the detector says that it is missing
    (tmp_path / "b.mp4").write_bytes(b"another")
    assert landmark_file(tmp_path / "b.mp4") != kept
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("D2M_CACHE", str(tmp_path / "file"))
    assert landmark_file(tmp_path / "b.mp4") is None
