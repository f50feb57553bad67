"""BVH files as capture suites and data sets write them: the same motion out of each, and one sentence for what is broken."""

import re
from pathlib import Path

import numpy as np
import pytest
from tests_support_skeletons import SUITES, bvh_of, swaying

from d2m.core.errors import BadInput
from d2m.motion.bvh import parse_bvh, write_bvh
from d2m.motion.dance import Dance
from d2m.motion.features import SmplMotion
from d2m.motion.readers import Hints, Recording, read_recording
from d2m.motion.smpl import JOINT_NAMES, joint_positions

FPS = 30.0
MOTION = swaying()
JOINTS = joint_positions(MOTION.rotations, MOTION.translation)
BODY = slice(0, 22)


def read(tmp_path: Path, text: str, hints: Hints = Hints()) -> Recording:  # noqa: B008
    path = tmp_path / "dance.bvh"
    path.write_text(text)
    return read_recording(path, hints)


def apart_m(motion: SmplMotion, truth: np.ndarray = JOINTS) -> np.ndarray:
    return np.linalg.norm(joint_positions(motion.rotations, motion.translation) - truth, axis=-1)[:, BODY]


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_gives_the_same_motion(tmp_path: Path, name: str) -> None:
    suite = SUITES[name]
    recording = read(tmp_path, bvh_of(MOTION, FPS, suite))
    lacks = [JOINT_NAMES.index(f"{side}_foot") for side in ("left", "right") if suite.name("left_foot") is None]
    apart = np.delete(apart_m(recording.motion), lacks, axis=1)
    assert apart.max() < (0.03 if name == "bones along x" else 0.001)
    assert recording.fps == FPS and recording.format == "bvh"
    assert recording.up == ("z" if suite.z_up else "y")
    unit = {1: "in m,", 100: "in cm,", 1000: "in mm,", 1 / 0.0254: "in inches,"}.get(suite.unit, "no usual unit")
    assert any(unit in said for said in recording.decisions)
    if name not in ("bones along x", "biovision"):  # a rest pose that shows how bones turn about themselves
        turns = np.einsum("tjab,tjab->tj", recording.motion.rotations, MOTION.rotations)
        kept = np.delete(turns[:, BODY], lacks, axis=1)
        assert kept.min() > 1 + 2 * np.cos(np.radians(1))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = write_bvh(tmp_path / "out.bvh", MOTION, 59.94)
    recording = read_recording(path)
    assert recording.fps == pytest.approx(59.94, abs=1e-3)
    assert np.allclose(recording.motion.rotations, MOTION.rotations, atol=1e-5)
    assert np.allclose(recording.motion.translation, MOTION.translation, atol=1e-4)
    assert Dance.load(path).decisions == recording.decisions


def test_another_body_s_feet_do_not_slide(tmp_path: Path) -> None:
    """A doll of half the size."""
    text = bvh_of(MOTION, FPS, SUITES["mixamo"])
    half = re.sub(
        r"OFFSET (\S+) (\S+) (\S+)", lambda m: "OFFSET " + " ".join(str(float(v) / 2) for v in m.groups()), text
    )
    head, _, rows = half.partition("Frame Time: 0.033333\n")
    moved = [[str(float(v) / 2) for v in row.split()[:3]] + row.split()[3:] for row in rows.splitlines()]
    recording = read(tmp_path, head + "Frame Time: 0.033333\n" + "\n".join(map(" ".join, moved)))
    assert apart_m(recording.motion).max() < 0.001
    assert "lengths of no usual unit, a body 84.6 tall taken for 1.7 m" in recording.decisions


@pytest.mark.parametrize(
    ("frame_time", "fps"),
    [("0.0083333", 120), ("0.008333", 120), ("0.0333667", 29.97), ("0.04", 25), ("0.041708", 23.976)],
)
def test_the_rate_is_the_file_s(tmp_path: Path, frame_time: str, fps: float) -> None:
    text = bvh_of(MOTION, FPS, SUITES["motorica"], frame_time)
    assert read(tmp_path, text).fps == pytest.approx(fps, rel=1e-4)
    told = read(tmp_path, text, Hints(fps=50))
    assert told.fps == 50 and any("50 fps as asked" in said for said in told.decisions)


def test_a_frame_time_of_nothing_is_asked_for(tmp_path: Path) -> None:
    text = bvh_of(MOTION, FPS, SUITES["motorica"], "0")
    with pytest.raises(BadInput, match=r"dance\.bvh: .*fps="):
        read(tmp_path, text)
    assert read(tmp_path, text, Hints(fps=24)).fps == 24


def test_a_dance_on_the_floor_lies_as_its_rest_pose_stands(tmp_path: Path) -> None:
    lying = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    rotations = MOTION.rotations.copy()
    rotations[:, 0] = lying @ rotations[:, 0]
    motion = SmplMotion(rotations, MOTION.translation @ lying.T)
    truth = joint_positions(motion.rotations, motion.translation)
    for name in ("mixamo", "unreal"):
        text = bvh_of(motion, FPS, SUITES[name])
        said = read(tmp_path, text, Hints(up="z" if name == "unreal" else "y"))
        assert apart_m(said.motion, truth).max() < 0.001


def test_two_people_are_asked_about(tmp_path: Path) -> None:
    one = bvh_of(MOTION, FPS, SUITES["mixamo"])
    hierarchy, motion = one.split("MOTION\n")
    root = hierarchy.removeprefix("HIERARCHY\n")
    rows = motion.splitlines()
    both = "\n".join(rows[:2] + [f"{row} {row}" for row in rows[2:]])
    text = f"{hierarchy}{root}MOTION\n{both}\n"
    with pytest.raises(BadInput, match=r"found 2 people, .*person="):
        read(tmp_path, text)
    assert apart_m(read(tmp_path, text, Hints(person=2)).motion).max() < 0.001
    with pytest.raises(BadInput, match="person=3"):
        read(tmp_path, text, Hints(person=3))


TEXT = bvh_of(MOTION, FPS, SUITES["motorica"])
BROKEN = {
    "empty of motion": TEXT.split("MOTION")[0],
    "cut off": TEXT[: len(TEXT) * 2 // 3],
    "no frames": re.sub(r"Frames: \d+", "Frames: 0", TEXT.partition("Frame Time")[0]) + "Frame Time: 0.03\n",
    "a lie about frames": TEXT.replace("Frames: 60", "Frames: 999999999999"),
    "a word in the frames": TEXT + " oops",
    "decimal commas": TEXT.replace(".", ","),
    "nan": TEXT.rsplit(" ", 1)[0] + " nan\n",
    "infinite": TEXT.rsplit(" ", 1)[0] + " 1e400\n",
    "unknown channel": TEXT.replace("Zrotation", "Wrotation", 1),
    "a brace too many": TEXT.replace("MOTION", "}\nMOTION"),
    "a brace too few": TEXT.replace("}", "", 1),
    "no channels": re.sub(r"CHANNELS.*", "", TEXT),
    "an animal": TEXT.replace("UpLeg", "Wing"),
    "bones of length 0": re.sub(r"OFFSET .*", "OFFSET 0 0 0", TEXT),
    "deep": "HIERARCHY\n" + "ROOT a\n{\n" * 3000 + "}\n" * 3000 + "MOTION\nFrames: 1\nFrame Time: 1\n0\n",
    "another text": "solid cube\nfacet normal 0 0 0\n",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_get_one_sentence(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadInput, match=r"dance\.bvh: ") as error:
        read(tmp_path, BROKEN[kind])
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_position_channels_of_joints_replace_or_add_to_the_offset() -> None:
    def text(value: float) -> str:
        return (
            "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\nJOINT b\n{\nOFFSET 0 10 0\n"
            "CHANNELS 3 Xposition Yposition Zposition\n}\n}\nMOTION\nFrames: 1\nFrame Time: 0.1\n"
            f"1 2 3 0 {value} 0\n"
        )

    for value, expected in ((10.5, 12.5), (0.5, 12.5)):
        places, _ = parse_bvh(text(value), "a").globals_of([1])
        assert np.allclose(places[0, 0], [1, expected, 3])
