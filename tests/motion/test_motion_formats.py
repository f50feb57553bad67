"""Every layout that people have is read as the same dance; what a file does not say is asked for; what is broken is one sentence."""

import pickle
import tracemalloc
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from tests_support_formats import CAMERA, DANCE, FPS, FRAMES, LAYOUTS, Z_UP, save, seen_in, wham_of, write_layout

from d2m.core.errors import BadConfig, BadInput
from d2m.core.safe_pickle import load_safe_pickle
from d2m.motion.bvh import write_bvh
from d2m.motion.dance import Dance
from d2m.motion.features import SmplMotion
from d2m.motion.readers import FORMATS, SUFFIXES, Hints, read_recording
from d2m.motion.readers.content import LOADERS
from d2m.motion.smpl import JOINT_NAMES, axis_angle_to_matrix, joint_positions

EXPECTED = joint_positions(DANCE.rotations, DANCE.translation)


def positions(motion: SmplMotion) -> np.ndarray:
    return joint_positions(motion.rotations, motion.translation)


def refusal(path: Path, **hints: object) -> str:
    """The one sentence with which a file is refused, less what the tests' own type checks add."""
    with pytest.raises(BadInput) as raised:
        read_recording(path, Hints(**hints))  # pyright: ignore[reportArgumentType]
    sentence = str(raised.value.args[0]).partition("\n-----")[0]
    assert str(path) in sentence and "\n" not in sentence and "Traceback" not in sentence
    return sentence


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_the_same_dance(tmp_path, name):
    path, hints = write_layout(tmp_path, name)
    recording = read_recording(path, Hints(**hints))
    assert recording.fps == FPS and recording.seconds == FRAMES / FPS and recording.missing == 0
    depth = [1, 1, 0] if recording.format == "4dhumans" else 1  # one picture hardly shows it
    expected = joint_positions(DANCE.rotations, DANCE.translation * depth)
    found = positions(recording.motion)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert recording.format in {row.name for row in FORMATS}


def test_bare_rotations_dance_in_place(tmp_path):
    for values in (DANCE.poses, DANCE.rotations, DANCE.rotations[:, :22, :2].reshape(FRAMES, 132)):
        recording = read_recording(save(tmp_path / "a.npy", values), Hints(fps=30))
        np.testing.assert_allclose(positions(recording.motion), EXPECTED - EXPECTED[:, :1], atol=1e-6)
        assert "no translation: the dancer stays in place" in recording.decisions
    assert "fps=" in refusal(tmp_path / "a.npy")


def test_sixes_of_a_body_that_hardly_bends_are_asked_for(tmp_path):
    """Rows and columns are each other's inverse: stiff knees and elbows do not show which was meant."""
    stiff = DANCE.rotations[:, :22].copy()
    stiff[:, [JOINT_NAMES.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "elbow")]] = (
        np.eye(3)
    )
    parts = {"transl": DANCE.translation, "fps": FPS}
    for rotations in (stiff, stiff.swapaxes(-1, -2)):
        sixes = rotations[..., :2, :].reshape(FRAMES, 132)
        whole = save(tmp_path / "a.npz", {"poses": sixes, **parts})
        split = save(tmp_path / "b.npz", {"global_orient": sixes[:, :6], "body_pose": sixes[:, 6:], **parts})
        assert "rows or columns" in refusal(whole) and "rows or columns" in refusal(split)
    for rotations in (DANCE.rotations[:, :22], DANCE.rotations[:, :22].swapaxes(-1, -2)):
        sixes = rotations[..., :2, :].reshape(FRAMES, 132)
        save(split, {"global_orient": sixes[:, :6], "body_pose": sixes[:, 6:], **parts})
        np.testing.assert_allclose(positions(read_recording(split).motion), EXPECTED, atol=1e-5)


@pytest.mark.parametrize("is_bvh", [False, True])
def test_joints_and_skeletons_show_their_axis_as_poses_do(tmp_path, is_bvh):
    def written(motion: SmplMotion) -> Path:
        if not is_bvh:
            return save(tmp_path / "a.npy", 100 * positions(motion))  # centimetres
        write_bvh(tmp_path / "a.bvh", motion, FPS)
        return tmp_path / "a.bvh"

    spinning = SmplMotion(
        seen_in(axis_angle_to_matrix(np.array([-np.pi / 2, 0, 0]))).rotations, 0.1 * DANCE.translation
    )
    turns = axis_angle_to_matrix(np.linspace(0, 4 * np.pi, FRAMES)[:, None] * np.array([0, 1.0, 0]))
    spinning.rotations[:, 0] = turns @ spinning.rotations[:, 0]
    for motion in (DANCE, spinning):
        for axes, up in ((np.eye(3), "y"), (Z_UP, "z")):
            recording = read_recording(written(seen_in(axes, motion)), Hints(fps=FPS))
            assert recording.up == up and f"{up.upper()} up, as the body shows" in recording.decisions
    if not is_bvh:  # a skeleton's rest pose shows it
        assert "up=y or up=z" in refusal(written(about("x", -90)), fps=FPS)


def test_the_dance_carries_what_was_decided(tmp_path):
    dance = Dance.load(write_layout(tmp_path, "edge")[0])
    assert dance.format == "edge" and dance.decisions == ("Z up, as EDGE writes", "30 fps, as EDGE writes")
    assert len(dance.features) == 2 * FRAMES
    slow = Dance.load(tmp_path / "a.pkl", fps=15)
    assert len(slow.features) == 4 * FRAMES and any("15 fps as asked" in decision for decision in slow.decisions)


RATES = {
    "60": (60.0, "from the text"), "30 fps": (30.0, "from the text"), b"25": (25.0, "from the text"),
    59.94: (59.94, None), 24: (24.0, None),
}  # fmt: skip


@pytest.mark.parametrize("said", RATES)
def test_rates_as_numbers_and_texts(tmp_path, said):
    content = {"poses": DANCE.poses, "trans": DANCE.translation, "fps": said}
    recording = read_recording(save(tmp_path / "a.pkl", content))
    rate, decided = RATES[said]
    assert recording.fps == rate and any((decided or "up") in decision for decision in recording.decisions)


@pytest.mark.parametrize(
    ("rates", "finding"),
    [
        ({}, "does not tell its frame rate"),
        ({"mocap_framerate": 0}, "expected 1 to 1000"),
        ({"mocap_framerate": -120.0}, "expected 1 to 1000"),
        ({"mocap_framerate": np.nan}, "found mocap_framerate nan"),
        ({"mocap_framerate": "unknown"}, "found mocap_framerate unknown"),
        ({"mocap_framerate": 120, "fps": 30}, "found mocap_framerate 120 and fps 30, expected one"),
        ({"mocap_framerate": 900}, "hands and feet move at"),
    ],
)
def test_rates_that_are_missing_lie_or_conflict_are_asked_for(tmp_path, rates, finding):
    path = save(tmp_path / "a.npz", {"poses": DANCE.poses, "trans": DANCE.translation, **rates})
    sentence = refusal(path)
    assert finding in sentence and "fps=" in sentence and "--fps" in sentence
    assert read_recording(path, Hints(fps=30)).fps == 30


def test_a_body_that_falls_faster_than_gravity_lets_it_is_asked_for(tmp_path):
    hops = DANCE.translation + 0.1 * np.sin(2 * np.pi * 1.5 * np.arange(FRAMES) / FPS)[:, None] * np.array([0, 1, 0])
    content = {"poses": DANCE.poses, "trans": hops}
    assert read_recording(save(tmp_path / "a.npz", {**content, "mocap_framerate": FPS})).fps == FPS
    assert "times as fast as gravity lets it" in refusal(save(tmp_path / "b.npz", {**content, "mocap_framerate": 120}))
    bare = {"smpl_poses": DANCE.poses, "smpl_trans": hops}  # read as 60 fps nobody could do it
    recording = read_recording(save(tmp_path / "a.pkl", bare))
    assert recording.fps == 30 and recording.format == "aistpp" and "as at 60" in recording.decisions[0]


def test_hints_that_cannot_be():
    for wrong in ({"fps": 0}, {"fps": True}, {"fps": float("nan")}, {"up": "x"}, {"person": True}):
        with pytest.raises(BadConfig, match="expected"):
            Hints(**wrong)


def about(axis: str, degrees: float, motion: SmplMotion = DANCE) -> SmplMotion:
    """The motion turned as a whole about an axis, with its middle at a height of 0.2 m."""
    turn = axis_angle_to_matrix(np.radians(degrees) * np.eye(3)["xyz".index(axis)])
    turned = seen_in(turn, motion)
    return SmplMotion(turned.rotations, turned.translation * 0.1 + np.array([0, 0.2, 0]))


def amass_of(path: Path, motion: SmplMotion) -> Path:
    return save(path, {"poses": motion.poses, "trans": motion.translation, "mocap_framerate": FPS})


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_body_that_lies_or_stands_on_its_head_is_asked_for(tmp_path, degrees):
    """Not turned and not left by chance; a hint is obeyed, and is a part of what was decided."""
    lying = about("x", degrees) if degrees != 90 else about("x", -90, about("y", 180))
    path = amass_of(tmp_path / "a.npz", lying)
    assert "up=" in refusal(path)
    left, turned = (read_recording(path, Hints(up=up)) for up in ("y", "z"))
    np.testing.assert_allclose(positions(left.motion), positions(lying), atol=1e-6)
    np.testing.assert_allclose(positions(turned.motion), positions(seen_in(Z_UP.T, lying)), atol=1e-6)
    assert (left.up, turned.up) == ("y", "z") and "Y up, as asked" in left.decisions


@pytest.mark.parametrize("is_z_up", [False, True])
def test_a_spinning_floor_dance_shows_its_axis(tmp_path, is_z_up):
    """On the mean of its frames this body stands along no axis."""
    lying = about("z", 90)
    rotations, turns = lying.rotations.copy(), np.zeros((FRAMES, 3))
    turns[:, 1] = np.linspace(0, 4 * np.pi, FRAMES)
    rotations[:, 0] = axis_angle_to_matrix(turns) @ rotations[:, 0]
    spinning = SmplMotion(rotations, lying.translation)
    path = amass_of(tmp_path / "a.npz", seen_in(Z_UP, spinning) if is_z_up else spinning)
    recording = read_recording(path)
    np.testing.assert_allclose(positions(recording.motion), positions(spinning), atol=1e-6)
    assert recording.up == ("z" if is_z_up else "y") and "as the body shows" in recording.decisions[0]


def test_a_file_may_say_its_axis(tmp_path):
    lying = about("x", -90)
    content = {"poses": lying.poses, "trans": lying.translation, "mocap_framerate": FPS, "up_axis": "y"}
    recording = read_recording(save(tmp_path / "a.npz", content))
    np.testing.assert_allclose(positions(recording.motion), positions(lying), atol=1e-6)


def test_aistpp_is_left_alone_whatever_the_body_does(tmp_path):
    lying = about("x", -90)
    content = {"smpl_poses": lying.poses, "smpl_trans": lying.translation}
    for more in ({"smpl_scaling": np.ones(1)}, {}):
        recording = read_recording(save(tmp_path / "a.pkl", {**content, **more}))
        np.testing.assert_allclose(positions(recording.motion), positions(lying), atol=1e-6)
        assert recording.format == "aistpp" and recording.fps == 60


def test_several_people_are_asked_for(tmp_path):
    path = tmp_path / "a.pkl"
    joblib.dump(wham_of(0, 4, 17), path)
    sentence = refusal(path, fps=30)
    assert "3 people (0, 4, 17)" in sentence and "person=" in sentence and "--person" in sentence
    recording = read_recording(path, Hints(fps=30, person=4))
    assert "person 4 of 3" in recording.decisions
    assert "no person 5, expected one of 0, 4, 17" in refusal(path, fps=30, person=5)


def test_frames_without_the_person_are_filled_and_told(tmp_path):
    person = wham_of(0)[0]
    kept = np.flatnonzero(np.arange(FRAMES) % 4 != 2)
    person = {key: values[kept] for key, values in person.items()}
    recording = read_recording(save(tmp_path / "a.pkl", {0: person}), Hints(fps=30))
    whole = kept[-1] - kept[0] + 1
    assert len(recording.motion.translation) == whole and recording.missing == pytest.approx(1 - len(kept) / whole)
    np.testing.assert_allclose(positions(recording.motion), EXPECTED[:whole], atol=0.01)
    assert "of the frames filled" in " ".join(recording.decisions)
    person["frame_ids"] = kept * 10**9
    assert "expected more" in refusal(save(tmp_path / "a.pkl", {0: person}), fps=30)


def test_a_camera_looks_down_its_own_y(tmp_path):
    path = save(tmp_path / "a.pkl", {0: {"pose": seen_in(CAMERA).poses, "trans": seen_in(CAMERA).translation}})
    recording = read_recording(path, Hints(fps=30))
    np.testing.assert_allclose(positions(recording.motion), EXPECTED, atol=1e-6)
    assert recording.up == "-y" and "camera" in " ".join(recording.decisions)


def test_torch_files_that_run_something_run_nothing(tmp_path):
    marker = tmp_path / "marker"

    class Runs:
        def __reduce__(self) -> tuple:
            return open, (str(marker), "w")

    for name in ("a.pt", "a.pth", "a.joblib", "a.npy", "a.pickle"):
        content = {"smpl_poses": torch.zeros(90, 72), "smpl_trans": Runs()}
        assert "nothing of it was run" in refusal(save(tmp_path / name, content))
        assert not marker.exists()


def test_tensors_cannot_reach_out_of_their_numbers(tmp_path):
    tensor = torch.arange(6.0).reshape(2, 3)
    torch.save({"a": tensor}, tmp_path / "a.pt")
    raw = (tmp_path / "a.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert np.array_equal(load_safe_pickle(tmp_path / "a.pt")["a"], tensor.numpy()) and raw
    (pickled,) = [name for name in members if name.endswith("data.pkl")]
    assert b"K\x02K\x03\x86" in members[pickled]
    for shape in (b"K\xffK\x03\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"J\xff\xff\xff\xffK\x03\x86"):
        with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content.replace(b"K\x02K\x03\x86", shape, 1) if name == pickled else content)
        with pytest.raises(BadInput, match="not a readable pickle"):
            load_safe_pickle(tmp_path / "b.pt")


def test_a_small_file_takes_little_memory_whatever_it_claims(tmp_path, monkeypatch):
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (40000000000, 72), }".ljust(117)
        + b"\n"
    )
    (tmp_path / "a.npy").write_bytes(header + bytes(100))
    (tmp_path / "b.pkl").write_bytes(b"\x80\x05\x96" + (2**33).to_bytes(8, "little") + b"abc.")  # a bytearray
    (tmp_path / "c.pkl").write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")  # the memory of the pickle, far out
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("poses.npy", header + bytes(10**6))
    monkeypatch.setattr("d2m.core.safe_pickle.MAX_INFLATED_BYTES", 2**21)
    joblib.dump(np.zeros(2**19), tmp_path / "e.joblib", compress=9)
    (tmp_path / "f.pickle").write_bytes(b"]" + b"(lp0\n" * 3000 + b".")
    tracemalloc.start()
    for path in sorted(tmp_path.iterdir()):
        refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


BROKEN = ("truncated", "flipped", "swapped", "padded")


def broken(raw: bytes, how: str, generator: np.random.Generator) -> bytes:
    """A file as a bad disk or a bad will leaves it."""
    content = bytearray(raw)
    if how == "truncated":
        return bytes(content[: generator.integers(1, len(content))])
    if how == "flipped":
        for at in generator.integers(0, min(len(content), 2000), 12):
            content[at] ^= 1 << generator.integers(0, 8)
    elif how == "swapped":
        at = generator.integers(0, len(content) - 64)
        content[at : at + 64] = generator.bytes(64)
    else:
        content[8:8] = b"\xff" * 32
    return bytes(content)


def wrong_contents() -> list:
    """Contents of the right kind whose numbers are wrong."""
    nan, short = DANCE.poses.copy(), DANCE.translation[:-1]
    nan[3, 4] = np.nan
    whole = {"mocap_framerate": 30}
    return [
        {"poses": nan, "trans": DANCE.translation, **whole},
        {"poses": DANCE.poses, "trans": short, **whole},
        {"poses": DANCE.poses, "trans": np.full((FRAMES, 3), np.inf), **whole},
        {"poses": DANCE.poses[:, :71], "trans": DANCE.translation, **whole},
        {"poses": DANCE.poses[0], "trans": DANCE.translation, **whole},
        {"poses": np.zeros((0, 72)), "trans": np.zeros((0, 3)), **whole},
        {"poses": np.zeros((90, 0)), "trans": DANCE.translation, **whole},
        {"poses": DANCE.poses.astype(complex), "trans": DANCE.translation, **whole},
        {"poses": np.full((90, 24, 3, 3), 2.0), "trans": DANCE.translation, **whole},
        {"poses": np.full((90, 22, 6), 1.0), "trans": DANCE.translation, **whole},
        {"root_orient": DANCE.poses[:, :3], "trans": DANCE.translation, **whole},
        {"root_orient": DANCE.poses[:, :6], "pose_body": DANCE.poses[:, 3:66], "trans": DANCE.translation, **whole},
        {"root_orient": DANCE.poses[:9, :3], "pose_body": DANCE.poses[:, 3:66], "trans": DANCE.translation, **whole},
        {"global_orient": "none", "body_pose": None, "trans": DANCE.translation, **whole},
        {"smpl_poses": DANCE.poses, "smpl_trans": DANCE.translation, "smpl_scaling": np.zeros(1)},
        {"smpl_poses": DANCE.poses, "full_pose": None},
        {"pos": DANCE.translation, "q": DANCE.poses[:, :9]},
        {"pred_rotmat": np.ones((90, 24, 3, 3)), "pred_trans": DANCE.translation},
        {"pred_rotmat": DANCE.rotations, "pred_trans": DANCE.translation[:, :2]},
        {"smpl_params_global": 3},
        {"smpl_params_global": {"body_pose": DANCE.poses[:, :63]}},
        {0: {"pose_world": DANCE.poses[:, :12]}, 1: None},
        {0: {"pose": DANCE.poses, "frame_ids": "all"}},
        {"f.jpg": {"smpl": [], "tid": []}},
        {"f.jpg": {"smpl": [{}], "tid": ["x"]}},
        {"f.jpg": {"smpl": [3], "tid": [1]}},
        {"f.jpg": {"smpl": None, "tid": None}},
        {}, [], [DANCE.poses], "a text", 3, None, True,
    ]  # fmt: skip


def test_two_hundred_broken_files_are_one_sentence_each(tmp_path):
    generator, files = np.random.default_rng(1), 0
    for number, content in enumerate(wrong_contents()):
        refusal(save(tmp_path / f"{number}.pkl", content), fps=30)
        files += 1
    for number, name in enumerate(list(LAYOUTS) * 6):
        path, hints = write_layout(tmp_path, name)
        path.write_bytes(broken(path.read_bytes(), BROKEN[number % 4], generator))
        try:
            read_recording(path, Hints(**hints))  # a bit among the numbers may do no harm
        except BadInput as error:
            assert str(path) in str(error) and "Traceback" not in str(error)
        files += 1
    assert files >= 200


def test_the_table_is_whole():
    for row in FORMATS:
        assert row.suffixes and row.layout and set(row.suffixes) <= set(LOADERS)
    assert len({row.name for row in FORMATS}) == len(FORMATS)
    assert set(SUFFIXES) == {suffix for row in FORMATS for suffix in row.suffixes}


def test_a_folder_of_mixed_formats(tmp_path):
    from d2m.motion.dance import list_dances

    for name, file in (("edge", "b.pkl"), ("gvhmr", "c.pt"), ("motion-x", "d.npy"), ("smpl-h 156", "a.npz")):
        write_layout(tmp_path, name)[0].rename(tmp_path / file)
    dances = [Dance.load(path, fps=30) for path in list_dances(tmp_path)]
    assert [dance.format for dance in dances] == ["amass", "edge", "gvhmr", "motionx"]
    pickle.dumps(dances[0])
