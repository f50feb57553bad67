"""What detectors of people write, in all their layouts: the dancer's motion, and one sentence where something has to be told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support_motion import swinging_features

from d2m.core.errors import BadInput
from d2m.motion.dance import Dance, list_dances
from d2m.motion.keypoints import COCO, LAYOUTS, POINTS
from d2m.motion.landmarks import LANDMARK_NAMES, Landmarks
from d2m.motion.readers import Hints, Recording, read_recording
from d2m.video.modality import landmarks_of
from d2m.video.video_dance import dance_of_landmarks

FPS, SIZE = 30.0, (1280, 720)
LANDMARKS = landmarks_of(swinging_features(120).numpy(), FPS, size=SIZE)
PIXELS = LANDMARKS.image[..., :2] * np.array(SIZE)
FRAMES = len(PIXELS)


def keypoints(count: int, scores: bool = True) -> np.ndarray:
    """(N, count, 3): those of a layout, the rest of a whole body's at 0."""
    points = np.zeros((FRAMES, count, 3))
    for number, name in enumerate(LAYOUTS[count]):
        if name in LANDMARK_NAMES:
            points[:, number, :2] = PIXELS[:, LANDMARK_NAMES.index(name)]
            points[:, number, 2] = 0.9
    return points if scores else points[..., :2]


def write(tmp_path: Path, content: Any, name: str = "dance") -> Path:
    if isinstance(content, np.ndarray):
        path = tmp_path / f"{name}.npy"
        np.save(path, content)
    elif isinstance(content, dict) and any(isinstance(value, np.ndarray) for value in content.values()):
        path = tmp_path / f"{name}.npz"
        np.savez(path, **content)
    else:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
    return path


def read(tmp_path: Path, content: Any, hints: Hints = Hints(fps=FPS)) -> Recording:  # noqa: B008
    return read_recording(write(tmp_path, content), hints)


def points_in(rows: np.ndarray, keys: str = "xyv") -> list[dict]:
    names = {"v": "visibility"}
    return [{names.get(key, key): float(value) for key, value in zip(keys, row, strict=True)} for row in rows]


def seen(frame: int) -> np.ndarray:
    """x, y, z and visibility in the picture."""
    return np.concatenate(
        [LANDMARKS.image[frame, :, :2], 0 * LANDMARKS.world[frame, :, :1], LANDMARKS.image[frame, :, 2:]], axis=1
    )


LANDMARK_FILES = {
    "both, by frames": {
        "fps": FPS, "width": SIZE[0], "height": SIZE[1],
        "frames": [
            {"pose_landmarks": points_in(seen(t), "xyzv"), "pose_world_landmarks": points_in(LANDMARKS.world[t], "xyz")}
            for t in range(FRAMES)
        ],
    },
    "a list of people, camel case": {
        "video": {"width": SIZE[0], "height": SIZE[1], "frame_rate": FPS},
        "poses": [
            {"poseLandmarks": [points_in(seen(t), "xyzv")], "poseWorldLandmarks": [points_in(LANDMARKS.world[t], "xyz")]}
            for t in range(FRAMES)
        ],
    },
    "times": [
        {"timestamp_ms": round(1000 * t / FPS, 3), "landmarks": points_in(seen(t), "xyzv"), "world_landmarks": points_in(LANDMARKS.world[t], "xyz")}
        for t in range(FRAMES)
    ],
    "arrays": {"image": LANDMARKS.image, "world": LANDMARKS.world, "fps": np.array(FPS), "width": np.array(SIZE[0]), "height": np.array(SIZE[1])},
}  # fmt: skip


@pytest.mark.parametrize("kind", LANDMARK_FILES)
def test_landmarks_give_what_their_film_gives(tmp_path: Path, kind: str) -> None:
    film = dance_of_landmarks(LANDMARKS)
    path = write(tmp_path, LANDMARK_FILES[kind])
    dance = Dance.load(path)
    assert dance.format == "mediapipe33" and len(dance.features) == len(film.features)
    assert np.abs(dance.features - film.features).max() < 2e-3
    assert (
        dance.landmarks is not None
        and film.landmarks is not None
        and np.abs(dance.landmarks - film.landmarks).max() < 1e-3
    )


def test_landmarks_that_d2m_kept(tmp_path: Path) -> None:
    path = LANDMARKS.save(tmp_path / "kept.npz")
    assert np.abs(Dance.load(path).features - dance_of_landmarks(Landmarks.load(path)).features).max() < 1e-6


@pytest.mark.parametrize(
    "content",
    [
        LANDMARKS.world,
        np.concatenate([LANDMARKS.world, LANDMARKS.image[..., 2:]], axis=-1),
        LANDMARKS.image,
        [points_in(rows, "xyz") for rows in LANDMARKS.world],
        LANDMARKS.image.tolist(),
        LANDMARKS.world.tolist(),
    ],
    ids=["world", "world and visibility", "picture", "list of points", "nested lists", "nested lists of the world"],
)  # fmt: skip
def test_one_half_of_the_landmarks_is_enough(tmp_path: Path, content: Any) -> None:
    film, recording = dance_of_landmarks(LANDMARKS), read(tmp_path, content)
    assert recording.fps == 60 and len(recording.motion.translation) == len(film.features)
    turned = recording.motion.rotations[:, 18] - film.features[:, 3:].reshape(-1, 24, 3, 3)[:, 18]
    assert np.abs(turned).mean() < 0.2  # the elbow, which does most
    with pytest.raises(BadInput, match="fps="):
        read(tmp_path, content, Hints())


def test_frames_without_a_person(tmp_path: Path) -> None:
    content = [None if t in (3, 4, 20) else points_in(LANDMARKS.world[t], "xyz") for t in range(FRAMES)]
    recording = read(tmp_path, content)
    assert recording.missing == pytest.approx(3 / FRAMES)
    with pytest.raises(BadInput, match="in 23% of the frames"):
        read(tmp_path, [None if t > 15 else row for t, row in enumerate(content)])


OPENPOSE = [
    {
        "version": 1.3,
        "people": [{"person_id": [-1], "pose_keypoints_2d": rows.ravel().tolist(), "face_keypoints_2d": []}],
    }
    for rows in keypoints(25)
]
KEYPOINT_FILES: dict[str, tuple[Any, str]] = {
    "coco, scores": (keypoints(17), "coco17"),
    "coco, none": (keypoints(17, scores=False), "coco17"),
    "coco, fields": ({"keypoints2d": keypoints(17, scores=False), "fps": np.array(FPS)}, "coco17"),
    "scores apart": ({"keypoints": keypoints(17, scores=False), "scores": keypoints(17)[..., 2]}, "coco17"),
    "shares of the picture": ({"keypoints": keypoints(17, scores=False) / np.array(SIZE)}, "coco17"),
    "whole body": (keypoints(133), "coco17"),
    "openpose": (keypoints(25), "openpose25"),
    "openpose's coco": (keypoints(18), "openpose18"),
    "openpose, a list": (OPENPOSE, "openpose25"),
    "coco results": (
        [{"image_id": t, "category_id": 1, "keypoints": rows.ravel().tolist(), "score": 0.9} for t, rows in enumerate(keypoints(17))],
        "coco17",
    ),
    "alphapose": (
        [{"image_id": f"{t}.jpg", "keypoints": rows.ravel().tolist(), "score": 3.1, "idx": 1} for t, rows in enumerate(keypoints(17))],
        "coco17",
    ),
    "coco annotations": (
        {"annotations": [{"image_id": 5 + t, "id": t, "keypoints": rows.ravel().tolist()} for t, rows in enumerate(keypoints(17))]},
        "coco17",
    ),
    "mmpose": (
        {
            "meta_info": {"dataset_name": "coco"},
            "instance_info": [
                {"frame_id": t + 1, "instances": [{"keypoints": rows[:, :2].tolist(), "keypoint_scores": rows[:, 2].tolist()}]}
                for t, rows in enumerate(keypoints(17))
            ],
        },
        "coco17",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYPOINT_FILES)
def test_keypoints_of_every_layout(tmp_path: Path, kind: str) -> None:
    content, name = KEYPOINT_FILES[kind]
    recording = read(tmp_path, content)
    truth = read(tmp_path, keypoints(17))
    assert recording.format == name and recording.fps == 60 and recording.missing == 0
    assert (
        recording.points is not None
        and recording.points.shape == (2 * FRAMES, len(POINTS), 2)
        and truth.points is not None
    )
    apart = np.abs(recording.points - truth.points)
    assert apart.max() < (1e-6 if name == "coco17" else 0.01)
    assert any("two dimensions" in said for said in recording.decisions)
    assert any("16:9" in said for said in recording.decisions) == (kind == "shares of the picture")
    wrist = recording.motion.rotations[:, 18]
    assert np.isfinite(wrist).all() and np.ptp(wrist[:, 0, 0]) > 0.1


def test_a_folder_of_a_file_a_frame(tmp_path: Path) -> None:
    for number, frame in enumerate(OPENPOSE):
        if number != 7:
            (tmp_path / f"clip_{number:012d}_keypoints.json").write_text(json.dumps(frame))
    (tmp_path / "clip_seed0.json").write_text('{"dance": "clip", "seed": 0, "beats": {"beats_s": [0.5, 1.0]}}')
    first = tmp_path / "clip_000000000000_keypoints.json"
    assert list_dances(tmp_path) == [first]
    whole, gap = read(tmp_path, OPENPOSE), read_recording(first, Hints(fps=FPS))
    assert whole.points is not None and gap.points is not None
    assert gap.missing == pytest.approx(1 / FRAMES) and np.abs(whole.points - gap.points).max() < 0.05


def test_points_that_are_missing(tmp_path: Path) -> None:
    wrist, lost = COCO.index("left_wrist"), keypoints(17)
    lost[10:14, wrist, 2] = 0
    lost[20:22, wrist, :2] = np.nan
    lost[30, wrist] = 0
    recording = read(tmp_path, lost)
    assert recording.missing == pytest.approx(7 / FRAMES / len(POINTS))
    assert any("0.9% of the points were missing" in said for said in recording.decisions)
    lost[:40, wrist, 2] = 0
    with pytest.raises(BadInput, match="missing in 67% of the frames"):
        read(tmp_path, lost)
    lost = keypoints(17)
    lost[:, 0, 2] = 0  # no nose: eyes and ears show the head
    assert read(tmp_path, lost).missing == 0


def two_people(ids: bool) -> list[dict]:
    other = keypoints(17) + np.array([400.0, 20.0, 0.0])
    frames = []
    for t, rows in enumerate(keypoints(17)):
        people = [
            {"keypoints": rows.ravel().tolist(), "track_id": 4},
            {"keypoints": other[t].ravel().tolist(), "track_id": 9},
        ]
        people = people[:: -1 if t % 2 else 1]
        frames.append({"people": people if ids else [{"keypoints": one["keypoints"]} for one in people]})
    return frames


@pytest.mark.parametrize("ids", [True, False])
def test_people_are_followed_and_asked_about(tmp_path: Path, ids: bool) -> None:
    content = two_people(ids)
    with pytest.raises(BadInput, match=r"found 2 people .*person=1 to 2"):
        read(tmp_path, content)
    one = read(tmp_path, keypoints(17)).points
    assert one is not None
    for person in (1, 2):
        recording = read(tmp_path, content, Hints(fps=FPS, person=person))
        assert recording.points is not None and np.abs(np.diff(recording.points - one, axis=0)).max() < 1e-6
    with pytest.raises(BadInput, match="person=3"):
        read(tmp_path, content, Hints(fps=FPS, person=3))


def test_somebody_who_passes_by_is_left_out(tmp_path: Path) -> None:
    content = [
        {"people": [one for one in f["people"] if t <= 3 or one["track_id"] == 4]}
        for t, f in enumerate(two_people(True))
    ]
    recording = read(tmp_path, content)
    assert any("person 1 of 2, who is in 100% of the frames" in said for said in recording.decisions)


def test_cameras_of_an_array_are_asked_about(tmp_path: Path) -> None:
    cameras = np.stack([keypoints(17), keypoints(17) * 0.9])
    with pytest.raises(BadInput, match="found 2 people or cameras"):
        read(tmp_path, cameras)
    assert read(tmp_path, cameras, Hints(fps=FPS, person=2)).format == "coco17"


@pytest.mark.parametrize(
    "content",
    [
        {}, [], 1, "text", None, {"frames": []}, {"frames": [1, 2]}, [[]] * 40, {"people": []}, [{"image_id": "a", "keypoints": []}],
        [{"image_id": 10**14 * t, "keypoints": [1.0] * 51} for t in range(3)], [[[1, 2, 3]] * 17, "x"], {"beats": [1, 2]},
        [{"keypoints": ["a"] * 51}] * 30, [[[0, 0, 0]] * 17] * 40, [[[1e300, 1, 1]] * 17] * 40, [[[1, 1, 1]] * 17] * 40,
        json.loads("[" * 400 + "]" * 400), np.zeros((60, 17, 2)), np.full((60, 33, 3), np.nan), np.full((60, 25, 3), 1e30), np.zeros((60, 16, 2)), np.zeros((0, 17, 2)),
        np.full((60, 33, 3), 0.3),
    ],
)  # fmt: skip
def test_what_is_nobody_gets_one_sentence(tmp_path: Path, content: Any) -> None:
    with pytest.raises(BadInput, match=r"dance\.(json|npy): ") as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value) and len(str(error.value)) < 800
