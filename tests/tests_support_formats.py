"""One dance as every format has it: writers of the layouts that other people's programs write."""

import collections
import pickle
from pathlib import Path

import joblib
import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from d2m.motion.features import SmplMotion
from d2m.motion.smpl import JOINT_NAMES, axis_angle_to_matrix

FRAMES, FPS = 90, 30.0
Z_UP = axis_angle_to_matrix(np.array([np.pi / 2, 0, 0]))
CAMERA = np.diag([1.0, -1.0, -1.0])


def _danced() -> SmplMotion:
    """A body that stands, bends knees and elbows, turns its chest, and sways; hands do not bend."""
    generator, times = np.random.default_rng(5), np.arange(FRAMES) / FPS
    poses = gaussian_filter1d(generator.normal(scale=0.3, size=(FRAMES, 24, 3)), 6, axis=0)
    bounce = 0.5 + 0.4 * np.sin(2 * np.pi * 2 * times)
    for side, sign in (("left", -1), ("right", 1)):
        poses[:, JOINT_NAMES.index(f"{side}_knee"), 0] += bounce
        poses[:, JOINT_NAMES.index(f"{side}_hip"), 0] -= bounce / 2
        poses[:, JOINT_NAMES.index(f"{side}_elbow"), 1] += sign * 0.8
    poses[:, 0, 1] += 0.8
    poses[:, 22:] = 0
    sway = np.stack([0.2 * np.sin(2 * np.pi * times / 3), 0.9 - 0.04 * bounce, 0.1 * np.cos(times)], axis=1)
    return SmplMotion(axis_angle_to_matrix(poses), sway)


DANCE = _danced()


def seen_in(axes: Float[np.ndarray, "3 3"], motion: SmplMotion = DANCE) -> SmplMotion:
    """The motion in other axes; `axes` leads from Y up to them."""
    rotations = motion.rotations.copy()
    rotations[:, 0] = axes @ rotations[:, 0]
    return SmplMotion(rotations, motion.translation @ axes.T)


def save(path: Path, content: object) -> Path:
    """By the file's suffix, as people do: `.pt` by torch, `.joblib` by joblib, compressed."""
    if path.suffix == ".npz":
        assert isinstance(content, dict)
        np.savez(path, **content)
    elif path.suffix == ".npy":
        np.save(path, content, allow_pickle=True)  # pyright: ignore[reportArgumentType]
    elif path.suffix in (".pt", ".pth"):
        torch.save(content, path, _use_new_zipfile_serialization=path.suffix == ".pt")
    elif path.suffix == ".joblib" or path.name == "wham.pkl":
        joblib.dump(content, path, compress=3 if path.suffix == ".joblib" else 0)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


def _amass(motion: SmplMotion, width: int) -> dict:
    hands = np.full((len(motion.translation), width - 66), 0.1 if width != 72 else 0.0)
    poses = np.concatenate([motion.poses[:, :66], hands], axis=1)
    return {"poses": poses, "trans": motion.translation, "mocap_framerate": FPS, "gender": "neutral"}


def _edge(motion: SmplMotion, **changes: object) -> dict:
    return {
        "smpl_poses": motion.poses.astype(np.float32),
        "smpl_trans": motion.translation.astype(np.float32),
        "full_pose": np.zeros((len(motion.translation), 24, 3), np.float32),
        **changes,
    }


def _parts(root: str, body: str, motion: SmplMotion, width: int = 63) -> dict:
    return {root: motion.poses[:, :3], body: motion.poses[:, 3 : 3 + width]}


def _six(motion: SmplMotion, joints: int, form: str) -> np.ndarray:
    matrices = motion.rotations[:, :joints]
    forms = {
        "rows": matrices[..., :2, :],
        "columns": matrices[..., :2].swapaxes(-1, -2),
        "interleaved": matrices[..., :2],
    }
    return forms[form].reshape(len(matrices), joints * 6)


def _motion_x(motion: SmplMotion) -> np.ndarray:
    values = np.zeros((len(motion.translation), 322))
    values[:, :66], values[:, 309:312], values[:, 312:] = motion.poses[:, :66], motion.translation, 0.3
    return values


def _wham(motion: SmplMotion, people: tuple[int, ...] = (4,)) -> dict:
    results: dict = collections.defaultdict(dict)
    for person in people:
        results[person]["pose"] = seen_in(CAMERA, motion).poses.astype(np.float32)
        results[person]["trans"] = seen_in(CAMERA, motion).translation
        results[person]["pose_world"] = motion.poses
        results[person]["trans_world"] = motion.translation
        results[person]["frame_ids"] = np.arange(len(motion.translation))
    return results


def _phalp(motion: SmplMotion) -> dict:
    seen, pictures = seen_in(CAMERA, motion), {}
    for number, (rotations, place) in enumerate(zip(seen.rotations, seen.translation, strict=True)):
        smpl = {
            "global_orient": rotations[:1].astype(np.float32),
            "body_pose": rotations[1:].astype(np.float32),
            "betas": np.zeros(10),
        }
        pictures[f"frames/{number:06d}.jpg"] = {
            "time": number, "tid": [7], "smpl": [smpl], "camera": [place], "bbox": [np.zeros(4)],
        }  # fmt: skip
    return pictures


def _gvhmr(motion: SmplMotion) -> dict:
    def parts(one: SmplMotion) -> dict:
        named = {**_parts("global_orient", "body_pose", one), "transl": one.translation}
        return {key: torch.tensor(values, dtype=torch.float32) for key, values in named.items()}

    in_camera = parts(seen_in(CAMERA, motion))
    return {"smpl_params_global": parts(motion), "smpl_params_incam": in_camera, "K_fullimg": torch.eye(3)}


def _tram(motion: SmplMotion) -> dict:
    seen = seen_in(CAMERA, motion)
    return {
        "pred_rotmat": torch.tensor(seen.rotations, dtype=torch.float32),
        "pred_trans": torch.tensor(seen.translation[:, None], dtype=torch.float32),
        "frame": torch.arange(len(seen.translation)),
    }


def layouts(motion: SmplMotion = DANCE) -> dict[str, tuple[str, object, dict]]:
    """Of every layout: the file's name, its content, and the hints that it needs. `motion` is at `FPS`, its hands do not bend."""
    rate, z_up, place = {"fps": FPS}, seen_in(Z_UP, motion), motion.translation

    def posed(values: np.ndarray) -> dict:
        return {"poses": values, "trans": place, "mocap_framerate": FPS}

    tensors = {key: torch.tensor(values) for key, values in _edge(z_up).items()}
    turned = {"smpl_poses": z_up.poses, "smpl_trans": z_up.translation}
    scaled = {"smpl_poses": motion.poses, "smpl_trans": place * 94, "smpl_scaling": np.array([94.0])}
    split = {"trans": z_up.translation, "mocap_frame_rate": FPS, "betas": np.zeros(10)}
    world = {"transl": place.astype(np.float32), "fps": f"{FPS:g}"}
    return {
        "aistpp": ("a.pkl", scaled, rate),  # such files are at 60, and this dance is not
        "edge": ("a.pkl", _edge(z_up), {}),
        "edge with fps": ("a.pkl", _edge(z_up, fps=FPS), {}),
        "edge N 24 3": ("a.pkl", _edge(z_up, smpl_poses=z_up.poses.reshape(-1, 24, 3)), {}),
        "edge of tensors": ("a.pkl", tensors, {}),
        "edge of tensors in joblib": ("a.joblib", tensors, {}),
        "edge without positions": ("a.pkl", turned, {}),
        "edge slice, Z up": ("a.pkl", {"pos": turned["smpl_trans"], "q": turned["smpl_poses"]}, {}),
        "edge slice, Y up": ("a.pkl", {"pos": place, "q": motion.poses}, rate),
        "amass Y up": ("a.npz", _amass(motion, 72), {}),
        "amass Z up": ("a.npz", _amass(z_up, 72), {}),
        "smpl-h 156": ("a.npz", _amass(z_up, 156), {}),
        "smpl-x 165": ("a.npz", _amass(z_up, 165), {}),
        "smpl-x 168": ("a.npz", _amass(z_up, 168), {}),
        "amass as pickle": ("a.pkl", _amass(z_up, 156), {}),
        "amass parts": ("a.npz", {**_parts("root_orient", "pose_body", z_up), **split}, {}),
        "smplx parts": ("a.npz", {**_parts("global_orient", "body_pose", motion), **world}, {}),
        "smpl parts": ("a.pkl", {**_parts("global_orient", "body_pose", motion, 69), **world}, {}),
        "matrices": ("a.npz", posed(motion.rotations), {}),
        "N 24 3": ("a.npz", posed(motion.poses.reshape(-1, 24, 3)), {}),
        "sixes, rows": ("a.npz", posed(_six(motion, 22, "rows")), {}),
        "sixes, columns": ("a.npz", posed(_six(motion, 22, "columns")), {}),
        "sixes, interleaved": ("a.npz", posed(_six(motion, 22, "interleaved")), {}),
        "sixes, 24": ("a.npz", posed(_six(motion, 24, "rows")), {}),
        "motion-x": ("a.npy", _motion_x(motion), {}),
        "motion-x in npz": ("a.npz", {"poses": _motion_x(motion)}, {}),
        "wham": ("wham.pkl", _wham(motion), rate),
        "wham compressed": ("a.joblib", _wham(motion), rate),
        "4d-humans": ("a.joblib", _phalp(motion), rate),
        "gvhmr": ("a.pt", _gvhmr(motion), rate),
        "gvhmr, older torch": ("a.pth", _gvhmr(motion), rate),
        "tram": ("a.npy", _tram(motion), rate),
        "tram .pt": ("a.pt", _tram(motion), rate),
    }


LAYOUTS = layouts()


def write_layout(folder: Path, name: str) -> tuple[Path, dict]:
    """The file of a layout, and the hints that it needs."""
    file, content, hints = LAYOUTS[name]
    return save(folder / file, content), hints


def wham_of(*people: int) -> dict:
    """WHAM's results for several people."""
    return _wham(DANCE, people)
