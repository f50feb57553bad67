"""What recovers people from films: WHAM, 4D-Humans (PHALP), GVHMR, TRAM. Their files tell no frame rate: it is the film's.

|            | file                        | holds                                                                             |
|------------|-----------------------------|-----------------------------------------------------------------------------------|
| WHAM       | joblib `.pkl`               | person → `pose_world` (N, 72), `trans_world` (N, 3) Y up (else `pose`, `trans`: the camera's), `frame_ids` |
| 4D-Humans  | joblib `.pkl`               | picture → `tid`, `smpl` (`global_orient`, `body_pose`: matrices), `camera` (3,), one entry a person; the camera's |
| GVHMR      | `.pt`                       | `smpl_params_global`: `global_orient` (N, 3), `body_pose` (N, 63), `transl` (N, 3), Y up (else `smpl_params_incam`) |
| TRAM       | `.npy`, `.pt` or `.pkl`     | `pred_rotmat` (N, 24, 3, 3), `pred_trans` (N, 1, 3), `frame`; the camera's        |

A camera has x to the right, y down and z away from it; it is taken to stand upright and still.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.motion.features import SmplMotion, motion_at
from d2m.motion.readers.amass import body_rotations
from d2m.motion.readers.physics import from_camera, from_z_up, refuse_impossible
from d2m.motion.readers.recording import Hints, Recording, array_of, frame_rate, keys_of

_LONGEST_GAP = 20
"""Frames of a file in which a person is not seen for each in which they are, before it is refused."""

_CAMERA = "Y down, as the camera saw it (taken as upright and still)"


@dataclass(frozen=True)
class _Track:
    """One person: fields as AMASS's in parts or whole, the numbers of the frames, and whether the camera's axes are meant."""

    fields: Mapping[str, Any]
    frames: Any
    is_camera: bool


def is_wham(path: Path, content: Any) -> bool:
    """Person → poses (so do VIBE and others that went before)."""
    people = list(content.values()) if isinstance(content, dict) else []
    return bool(people) and any({"pose_world", "pose"} & keys_of(person) for person in people)


def read_wham(path: Path, content: Any, hints: Hints) -> Recording:
    """One person's dance.

    Raises:
        BadInput: when a field is missing or of another shape, or where the user has to say something.
    """
    people = {name: person for name, person in content.items() if {"pose_world", "pose"} & keys_of(person)}
    tracks = {}
    for name, person in people.items():
        is_world = "pose_world" in person
        ending = "_world" if is_world else ""
        fields = {"pose": person[f"pose{ending}"], **_given(person, f"trans{ending}")}
        tracks[name] = _Track(fields, person.get("frame_ids"), not is_world)
    return _recording(path, "wham", tracks, content, hints)


def is_gvhmr(path: Path, content: Any) -> bool:
    """The parameters in the world, or in the camera's axes."""
    return bool({"smpl_params_global", "smpl_params_incam"} & keys_of(content))


def read_gvhmr(path: Path, content: Any, hints: Hints) -> Recording:
    """The dance in the world.

    Raises:
        BadInput: when a field is missing or of another shape, or where the user has to say something.
    """
    key = "smpl_params_global" if "smpl_params_global" in content else "smpl_params_incam"
    fields = content[key] if isinstance(content[key], dict) else {}
    track = _Track({**fields, **_given(fields, "transl")}, None, key == "smpl_params_incam")
    return _recording(path, "gvhmr", {"0": track}, content, hints)


def is_tram(path: Path, content: Any) -> bool:
    """Predicted rotation matrices."""
    return "pred_rotmat" in keys_of(content)


def read_tram(path: Path, content: Any, hints: Hints) -> Recording:
    """The dance as the camera saw it: the camera's own path is in another file.

    Raises:
        BadInput: when a field is missing or of another shape, or where the user has to say something.
    """
    fields = {"pose": content["pred_rotmat"], **_given(content, "pred_trans")}
    return _recording(path, "tram", {"0": _Track(fields, content.get("frame"), True)}, content, hints)


def is_phalp(path: Path, content: Any) -> bool:
    """Picture → people."""
    pictures = list(content.values()) if isinstance(content, dict) else []
    return any({"smpl", "tid"} <= keys_of(picture) for picture in pictures)


def read_phalp(path: Path, content: Any, hints: Hints) -> Recording:
    """One person's dance, without its depth, which one picture hardly shows.

    Raises:
        BadInput: when a field is missing or of another shape, or where the user has to say something.
    """
    seen: dict[str, list[tuple[int, Any, Any]]] = {}
    for number, picture in enumerate(content.values()):
        if not {"smpl", "tid"} <= keys_of(picture):
            continue
        cameras = picture.get("camera") or [None] * len(picture["tid"])
        for person, smpl, camera in zip(picture["tid"], picture["smpl"], cameras, strict=False):
            seen.setdefault(str(int(person)), []).append((number, smpl, camera))
    tracks = {}
    for person, entries in seen.items():
        fields: dict[str, Any] = {
            key: [smpl.get(key) for _, smpl, _ in entries] for key in ("global_orient", "body_pose")
        }
        if all(camera is not None for _, _, camera in entries):
            fields["transl"] = np.stack([np.ravel(camera)[:3] for _, _, camera in entries]) * [1, 1, 0]
        tracks[person] = _Track(fields, [number for number, _, _ in entries], True)
    return _recording(path, "4dhumans", tracks, {}, hints)


def _given(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A translation under the name that is usual; it may have axes of one, as (N, 1, 3)."""
    if fields.get(key) is None:
        return {}
    values = np.asarray(fields[key])
    return {"transl": values.reshape(-1, 3) if values.dtype.kind in "iuf" and values.size % 3 == 0 else values}


def _recording(path: Path, name: str, tracks: dict[str, _Track], content: Mapping[str, Any], hints: Hints) -> Recording:
    person = _chosen(path, tracks, hints)
    track, decisions = tracks[person], (f"person {person} of {len(tracks)}",) if len(tracks) > 1 else ()
    rotations, forms = body_rotations(path, track.fields)
    trans = np.zeros((len(rotations), 3))
    if "transl" in track.fields:
        trans = array_of(path, track.fields, "transl")
    else:
        decisions += ("no translation: the dancer stays in place",)
    if trans.shape != (len(rotations), 3):
        raise BadInput(
            f"{path}: found a translation of shape {trans.shape}, expected ({len(rotations)}, 3) as the poses have "
            f"{len(rotations)} frames; export both from the same recording."
        )
    motion, missing = _without_gaps(path, SmplMotion(rotations, trans), track.frames)
    up = hints.up or ("-y" if track.is_camera else "y")
    motion = {"y": motion, "z": from_z_up(motion), "-y": from_camera(motion)}[up]
    if hints.up:
        axes = f"{hints.up.upper()} up, as asked"
    else:
        axes = _CAMERA if track.is_camera else f"Y up, as {name.upper()} writes"
    fps, rates = frame_rate(path, content, hints)
    refuse_impossible(path, motion, fps, hints)
    filled = (f"{missing:.0%} of the frames filled, in which the person was not seen",) if missing else ()
    return Recording(motion, fps, name, (*rates, axes, *decisions, *filled, *forms), missing, up=up)


def _chosen(path: Path, tracks: dict[str, _Track], hints: Hints) -> str:
    """Whose dance is read.

    Raises:
        BadInput: asking for `person=` where there are several, or naming those that there are.
    """
    asked = None if hints.person is None else str(hints.person)
    if asked in tracks:
        return str(asked)
    listed = ", ".join(list(tracks)[:12])
    if asked is not None:
        raise BadInput(f"{path}: found no person {asked}, expected one of {listed}; say another with person=.")
    if len(tracks) != 1:
        raise BadInput(
            f"{path}: found {len(tracks)} people ({listed}), expected to be told whose dance it is; say it with person= "
            "(in d2m: --person)."
        )
    return next(iter(tracks))


def _without_gaps(path: Path, motion: SmplMotion, numbers: Any) -> tuple[SmplMotion, float]:
    """Frames in which the person was not seen, filled along the shortest arcs, and their share."""
    if numbers is None:
        return motion, 0.0
    at: Float[np.ndarray, " frame"] = np.ravel(array_of(path, {"frames": numbers}, "frames"))
    if len(at) != len(motion.translation) or (np.diff(at) <= 0).any():
        return motion, 0.0
    whole = at[-1] - at[0] + 1
    if whole > _LONGEST_GAP * len(at):
        raise BadInput(
            f"{path}: the person is seen in {len(at)} of {whole:.0f} frames, expected more; choose another, or cut the film."
        )
    wanted = np.arange(at[0], at[-1] + 1)
    return motion_at(motion, np.interp(wanted, at, np.arange(len(at)))), float(1 - len(at) / whole)
