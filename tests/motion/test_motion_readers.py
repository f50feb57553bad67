import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from d2m.core.errors import BadInput
from d2m.core.safe_pickle import load_safe_pickle
from d2m.motion.features import joint_positions_of, smpl_to_features
from d2m.motion.readers import read_recording
from d2m.motion.smpl import axis_angle_to_matrix, joint_positions

FRAMES = 90
GENERATOR = np.random.default_rng(0)
POSES = gaussian_filter1d(GENERATOR.normal(scale=0.8, size=(FRAMES, 72)), 8, axis=0)
TRANS = gaussian_filter1d(GENERATOR.normal(scale=0.1, size=(FRAMES, 3)), 8, axis=0) + np.array([0, 0.9, 0])
ROTATIONS = axis_angle_to_matrix(POSES.reshape(-1, 24, 3))
QUARTER_ABOUT_X = axis_angle_to_matrix(np.array([np.pi / 2, 0, 0]))  # Y up to Z up


def write_pickle(path: Path, content: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def aistpp(**changes: object) -> dict:
    content = {"smpl_poses": POSES, "smpl_trans": TRANS, "smpl_scaling": np.array([2.0]), "smpl_loss": np.float64(0.1)}
    return {key: value for key, value in (content | changes).items() if value is not None}


def amass(**changes: object) -> dict:
    content = {"poses": POSES, "trans": TRANS, "mocap_framerate": np.array(30), "gender": "neutral"}
    return {key: value for key, value in (content | changes).items() if value is not None}


def z_up(poses: np.ndarray = POSES, trans: np.ndarray = TRANS) -> dict:
    turned = poses.copy()
    turned[:, :3] = (Rotation.from_matrix(QUARTER_ABOUT_X) * Rotation.from_rotvec(poses[:, :3])).as_rotvec()
    return amass(poses=turned, trans=trans @ QUARTER_ABOUT_X.T)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_aistpp_pickle_of_every_protocol(tmp_path, protocol):
    recording = read_recording(write_pickle(tmp_path / "a.pkl", aistpp(), protocol))
    assert np.allclose(recording.motion.rotations, ROTATIONS)
    assert np.allclose(recording.motion.translation, TRANS / 2)
    assert recording.fps == 60 and recording.seconds == 1.5


def test_aistpp_without_scaling_and_with_a_plain_number(tmp_path):
    without = read_recording(write_pickle(tmp_path / "a.pkl", aistpp(smpl_scaling=None)))
    assert np.allclose(without.motion.translation, TRANS)
    for scaling in (4.0, np.float32(4), np.array(4)):
        plain = read_recording(write_pickle(tmp_path / "b.pkl", aistpp(smpl_scaling=scaling)))
        assert np.allclose(plain.motion.translation, TRANS / 4)


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_both_spellings_of_numpys_core(tmp_path, core):
    content = pickle.dumps(aistpp(), protocol=2)
    for spelling in (b"numpy._core.", b"numpy.core."):
        content = content.replace(b"c" + spelling, b"c" + core.encode() + b".")
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    assert f"c{core}.multiarray".encode() in content
    assert np.allclose(read_recording(path).motion.translation, TRANS / 2)


def test_python_2_pickle(tmp_path):
    """Python 2 wrote an array's bytes as a text string (opcode T), which latin1 alone gives back."""
    data = np.arange(6, dtype="<f8")
    head = b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    raw = data.tobytes()
    state = b"(K\x01K\x02K\x03\x86" + dtype + b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tbs."
    path = tmp_path / "a.pkl"
    path.write_bytes(head + state)
    assert np.array_equal(load_safe_pickle(path)["a"], data.reshape(2, 3))


def test_arrays_of_other_orders_and_types(tmp_path):
    content = {
        "fortran": np.asfortranarray(POSES), "big": POSES.astype(">f4"), "whole": np.arange(3),
        "flag": np.array([True]), "text": np.array(["a"]), "objects": np.array([None, {}], dtype=object),
        "plain": [1, "b", None],
    }  # fmt: skip
    for protocol in (2, 5):
        read = load_safe_pickle(write_pickle(tmp_path / "a.pkl", content, protocol))
        assert all(np.array_equal(read[key], content[key]) for key in ("fortran", "big", "whole", "flag"))
        assert read["text"] is None and read["objects"] is None and read["plain"] == [1, "b", None]


class Runs:
    """Pickles into a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("where", ["whole", "key", "in a list"])
def test_hostile_pickle_runs_nothing(tmp_path, where, protocol):
    marker = tmp_path / "marker"
    for runs in (
        Runs(os.system, f"touch {marker}"),
        Runs(exec, f"open({str(marker)!r}, 'w')"),
        Runs(open, str(marker), "w"),
    ):
        content = {"whole": runs, "key": aistpp(smpl_loss=runs), "in a list": aistpp(smpl_loss=[runs])}[where]
        path = write_pickle(tmp_path / "a.pkl", content, protocol)
        with pytest.raises(
            BadInput, match=r"a\.pkl: the pickle asks for '.*', expected arrays and tensors only; nothing of it was run"
        ):
            read_recording(path)
        assert not marker.exists()
    pickle.loads(pickle.dumps(Runs(os.system, f"touch {marker}")))
    assert marker.exists()  # the trap is armed: an ordinary unpickler falls into it


def test_numpys_own_dangers_are_not_admitted(tmp_path):
    for function in (np.load, np.fromfile, np.ctypeslib.as_array):
        with pytest.raises(BadInput, match="asks for"):
            load_safe_pickle(write_pickle(tmp_path / "a.pkl", {"a": Runs(function, "x")}))
    vast = {"a": Runs(np.ndarray, (10**15,))}
    with pytest.raises(BadInput):
        load_safe_pickle(write_pickle(tmp_path / "a.pkl", vast))
    pointer = {"a": Runs(np.ndarray, (1,), np.dtype("O"), b"\x41" * 8)}  # bytes dressed up as a pointer
    with pytest.raises(BadInput):
        load_safe_pickle(write_pickle(tmp_path / "a.pkl", pointer))


def test_npz_of_smpl_and_smpl_h(tmp_path):
    np.savez(tmp_path / "a.npz", **amass())
    recording = read_recording(tmp_path / "a.npz")
    assert recording.fps == 30 and recording.seconds == 3
    np.savez(tmp_path / "h.npz", **amass(poses=np.concatenate([POSES, np.ones((FRAMES, 84))], axis=1)))
    hands = read_recording(tmp_path / "h.npz").motion.rotations
    assert np.allclose(hands[:, 1:22], ROTATIONS[:, 1:22]) and np.allclose(hands[:, 22:], np.eye(3))


def test_npz_with_the_other_spelling_of_the_frame_rate(tmp_path):
    np.savez(tmp_path / "a.npz", **amass(mocap_framerate=None, mocap_frame_rate=np.array([120.0])))
    assert read_recording(tmp_path / "a.npz").fps == 120


def test_z_up_is_turned_to_y_up_as_a_whole(tmp_path):
    np.savez(tmp_path / "z.npz", **z_up())
    np.savez(tmp_path / "y.npz", **amass())
    expected = joint_positions(ROTATIONS, TRANS)
    for name in ("z.npz", "y.npz"):
        motion = read_recording(tmp_path / name).motion
        assert np.allclose(joint_positions(motion.rotations, motion.translation), expected, atol=1e-9)


def test_a_pickle_is_never_turned(tmp_path):
    lying = z_up()
    path = write_pickle(
        tmp_path / "a.pkl", aistpp(smpl_poses=lying["poses"], smpl_trans=lying["trans"], smpl_scaling=1.0)
    )
    assert np.allclose(read_recording(path).motion.translation, lying["trans"])


def test_npy_of_features(tmp_path):
    features = smpl_to_features(POSES, TRANS)
    for dtype in (np.float64, np.float32, np.float16):
        np.save(tmp_path / "a.npy", features.astype(dtype))
        motion = read_recording(tmp_path / "a.npy").motion
        positions = joint_positions(motion.rotations, motion.translation)
        assert np.allclose(positions, joint_positions_of(features), atol=1e-2 if dtype == np.float16 else 1e-5)


def with_bad(values: np.ndarray, bad: float) -> np.ndarray:
    values = values.copy()
    values[3, 1] = bad
    return values


BAD_PICKLES = {
    "found no 'smpl_poses'": aistpp(smpl_poses=None),
    "found no 'smpl_trans'": aistpp(smpl_trans=None),
    "found 1 NaN or infinite values in 'smpl_poses'": aistpp(smpl_poses=with_bad(POSES, np.nan)),
    "found 1 NaN or infinite values in 'smpl_trans'": aistpp(smpl_trans=with_bad(TRANS, np.inf)),
    "NaN or infinite values in 'smpl_trans', expected finite": aistpp(smpl_trans=with_bad(TRANS, 1e300)),
    "found 'smpl_poses' 69 wide, expected 72": aistpp(smpl_poses=POSES[:, :69]),
    "found 'smpl_poses' of shape": aistpp(smpl_poses=POSES[:, 0]),
    "found 0 frames in 'smpl_poses'": aistpp(smpl_poses=POSES[:0], smpl_trans=TRANS[:0]),
    r"found 'smpl_trans' of shape \(89, 3\), expected \(90, 3\)": aistpp(smpl_trans=TRANS[:-1]),
    "found smpl_scaling 0, expected a positive": aistpp(smpl_scaling=np.zeros(1)),
    "found 'smpl_scaling' of shape": aistpp(smpl_scaling=np.ones(2)),
    "'smpl_poses' does not hold real numbers": aistpp(smpl_poses="none"),
    "'smpl_trans' does not hold real numbers": aistpp(smpl_trans=np.array([None] * FRAMES)),
    "found a list, expected .*smpl_poses and smpl_trans": [POSES],
}


@pytest.mark.parametrize("finding", BAD_PICKLES)
def test_bad_pickle(tmp_path, finding):
    with pytest.raises(BadInput, match=rf"a\.pkl: .*{finding}"):
        read_recording(write_pickle(tmp_path / "a.pkl", BAD_PICKLES[finding], 4))


BAD_NPZS = {
    "found no 'poses'": amass(poses=None),
    "found no 'trans'": amass(trans=None),
    "does not tell its frame rate .*; say it with fps=": amass(mocap_framerate=None),
    "found mocap_framerate 30 and fps 60, expected one frame rate; say it with fps=": amass(fps=np.array(60)),
    "found mocap_framerate about thirty, expected 1 to 1000": amass(mocap_framerate="about thirty"),
    "expected 1 to 1000 frames per second": amass(mocap_framerate=np.array(0)),
    "found mocap_framerate nan, expected 1 to 1000": amass(mocap_framerate=np.array(np.nan)),
    r"found 'poses' with 21 joints, expected 24 \(SMPL\)": amass(poses=POSES[:, :63]),
    r"found 'poses' of shape \(90, 70\), expected 3 numbers a joint": amass(poses=POSES[:, :70]),
    "found 0 frames in 'poses'": amass(poses=POSES[:0], trans=TRANS[:0]),
    "in 'poses', expected finite": amass(poses=with_bad(POSES, np.inf)),
    "'trans' does not hold real numbers": amass(trans=np.array([[None]], dtype=object)),
}


@pytest.mark.parametrize("finding", BAD_NPZS)
def test_bad_npz(tmp_path, finding):
    np.savez(tmp_path / "a.npz", **BAD_NPZS[finding])
    with pytest.raises(BadInput, match=rf"a\.npz: .*{finding}"):
        read_recording(tmp_path / "a.npz")


FEATURES = smpl_to_features(POSES, TRANS)
BAD_NPYS = {
    r"found an array of shape \(90, 220\), expected .*an array \(N, 219\)": np.zeros((90, 220)),
    r"found an array of shape \(219,\)": np.zeros(219),
    "found 0 frames": np.zeros((0, 219)),
    "in 'array', expected finite": with_bad(FEATURES, np.nan),
    "are not 24 rotation matrices": FEATURES * 2,
    "not 24 rotation matrices": np.where(np.arange(219) < 3, FEATURES, -FEATURES),  # mirrors: determinant -1
    "does not hold real numbers": np.zeros((90, 219), dtype=complex),
    "found a NoneType, expected": np.array([[{}]], dtype=object),
}


@pytest.mark.parametrize("finding", BAD_NPYS)
def test_bad_npy(tmp_path, finding):
    np.save(tmp_path / "a.npy", BAD_NPYS[finding], allow_pickle=True)
    with pytest.raises(BadInput, match=rf"a\.npy: .*{finding}"):
        read_recording(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", [".pkl", ".npz", ".npy"])
def test_missing_empty_and_broken_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(BadInput, match="no such file"):
        read_recording(path)
    path.touch()
    with pytest.raises(BadInput, match="the file is empty"):
        read_recording(path)
    path.write_bytes(b"no dance at all")
    with pytest.raises(BadInput, match="not a readable"):
        read_recording(path)


def test_half_downloaded_files(tmp_path):
    write_pickle(tmp_path / "a.pkl", aistpp(), 4)
    np.savez(tmp_path / "a.npz", **amass())
    np.save(tmp_path / "a.npy", FEATURES)
    for path in sorted(tmp_path.iterdir()):
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(BadInput, match="not a readable"):
            read_recording(path)


def test_features_beside_what_was_seen(tmp_path):
    points = np.zeros((len(FEATURES), 13, 2))
    np.savez(tmp_path / "a.npz", features=FEATURES, points=points)
    recording = read_recording(tmp_path / "a.npz")
    assert recording.format == "features219" and recording.landmarks is None
    assert np.array_equal(np.asarray(recording.points), points)
    np.savez(tmp_path / "a.npz", features=FEATURES, points=points[1:])
    with pytest.raises(BadInput, match=r"found 'points' of shape .* expected .* as there are"):
        read_recording(tmp_path / "a.npz")


def test_other_suffix_and_npz_in_disguise(tmp_path):
    (tmp_path / "a.fbx").write_text("Kaydara FBX")
    with pytest.raises(BadInput, match=r"found a '\.fbx' file, expected a dance \(\.pkl, \.pickle, .*\.npz"):
        read_recording(tmp_path / "a.fbx")
    np.save(tmp_path / "a.npy", FEATURES)
    (tmp_path / "a.npy").rename(tmp_path / "b.npz")
    with pytest.raises(BadInput, match="found an array of shape"):
        read_recording(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **amass())
    (tmp_path / "c.npz").rename(tmp_path / "c.npy")
    assert read_recording(tmp_path / "c.npy").format == "amass"
