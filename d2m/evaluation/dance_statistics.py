"""Real and synthetic dances side by side: phases, spectra and what simple rules read, by genre; as a table and a figure."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.aist_names import GENRES, parse_sequence_name
from d2m.core.errors import BadInput
from d2m.core.timeline import MOTION_FPS
from d2m.data.synthetic.dances import choreograph
from d2m.metrics.dance_rhythm import SIGNALS, SeenDance, minima_offsets, phases, read_by_rules, speed_spectrum
from d2m.motion.smpl import axis_angle_to_matrix, joint_positions

_EVERY = 2
"""Synthetic dances are seen at 30 pictures per second, as films are."""

_TEMPI_BPM = (78.0, 138.0)
_TURN_RAD = 1.0
_COLOURS = ("#d1495b", "#30638e")


def load_seen(path: Path) -> SeenDance:
    """A dance with its beats from an npz: `keypoints2d` (time, 17, 2; COCO, rows downwards) or `joints` (time, 22, 3; SMPL,
    Y up), `fps` and `beats` in seconds; the genre is in the file's AIST++ name.

    Raises:
        BadInput: when the name or a key is missing.
    """
    name = parse_sequence_name(path.stem)
    if name is None:
        raise BadInput(f"{path}: expected an AIST++ name such as gHO_sFM_cAll_d19_mHO0_ch01.npz; rename the file.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            content = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a readable npz file ({error}); name another folder.") from error
    if not {"fps", "beats"} <= set(content) or not {"keypoints2d", "joints"} & set(content):
        raise BadInput(f"{path}: found {', '.join(content)}, expected keypoints2d or joints, fps and beats.")
    coco = "keypoints2d" in content
    points = np.asarray(content["keypoints2d"] * (1, -1) if coco else content["joints"][..., :2], dtype=np.float64)
    return SeenDance.of_points(name.genre, points, float(content["fps"]), np.asarray(content["beats"], float), coco)


def synthetic_dances(per_genre: int, seconds: float | int, seed: int) -> list[SeenDance]:
    """Dances of the embedded data set's choreography to steady beats of random tempi, each from a direction of its own."""
    rng, seen = np.random.default_rng(seed), []
    for number in range(per_genre):
        for index, genre in enumerate(GENRES):
            period_s = 60 / rng.uniform(*_TEMPI_BPM)
            beats_s = (np.arange(round(seconds / period_s) + 16) - 8 + rng.random()) * period_s
            dance = choreograph(genre, beats_s, 0, seconds, number % 3, 1000 * seed + 10 * number + index)
            rotations = axis_angle_to_matrix(dance.poses.reshape(-1, 24, 3).astype(np.float64))
            joints = joint_positions(rotations, dance.trans.astype(np.float64))[::_EVERY]
            turn = rng.uniform(-_TURN_RAD, _TURN_RAD)
            across = np.cos(turn) * joints[..., 0] + np.sin(turn) * joints[..., 2]
            points = np.stack([across, joints[..., 1]], axis=-1)
            seen.append(SeenDance.of_points(genre, points, MOTION_FPS / _EVERY, beats_s, coco=False))
    return seen


def _statistics(dances: Sequence[SeenDance]) -> dict[str, Any]:
    return {
        "dances": len(dances),
        "phases": phases(dances),
        "spectrum": speed_spectrum(dances),
        "rules": read_by_rules(dances),
        "minima_offsets": minima_offsets(dances),
    }


def dance_statistics(sets: dict[str, Sequence[SeenDance]]) -> dict[str, Any]:
    """Statistics of each named set, of all its dances (`all`) and by genre."""
    table: dict[str, Any] = {}
    for name, dances in sets.items():
        genres = [genre for genre in GENRES if any(dance.genre == genre for dance in dances)]
        table[name] = {"all": _statistics(dances)} if dances else {}
        table[name] |= {genre: _statistics([d for d in dances if d.genre == genre]) for genre in genres}
    return table


def statistics_figure(table: dict[str, Any]) -> bytes:
    """PNG of the statistics of up to two named sets."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyright: ignore[reportMissingImports]
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    figure = Figure(figsize=(15, 12), layout="constrained")
    axes = figure.subplots(3, 4)
    sets = [
        (name, content, colour) for (name, content), colour in zip(table.items(), _COLOURS, strict=False) if content
    ]
    for row, period in enumerate(("0.5", "1")):
        for axis, signal in zip(axes[row], SIGNALS, strict=True):
            for shift, (_, content, colour) in zip((0.14, -0.14), sets, strict=False):
                for place, genre in enumerate(GENRES):
                    found = content.get(genre, {}).get("phases", {}).get(signal, {}).get(period)
                    if found is None:
                        continue
                    size = 12 + 260 * found["agreement"] ** 2
                    axis.scatter(
                        found["phase_beats"], place + shift, s=size, color=colour, alpha=found["strength"] ** 0.5
                    )
            axis.set(title=f"{signal}, period {period} beats", xlim=(-0.02, float(period) + 0.02), ylim=(-0.6, 9.6))
            axis.set_yticks(range(len(GENRES)), GENRES)
            axis.grid(alpha=0.3)
            axis.set_xlabel(
                "highest, beats after the beat" if signal == "pelvis height" else "fastest, beats after the beat"
            )
    minima, spectrum, rules, legend = axes[2]
    for number, (name, content, colour) in enumerate(sets):
        whole = content["all"]
        minima.step(np.linspace(-0.5, 0.5, 12), whole["minima_offsets"], where="mid", color=colour)
        spectrum.plot(list(whole["spectrum"]), list(whole["spectrum"].values()), "o-", color=colour)
        keys = ("minima_beat_f", "tracked_beat_f", "minima_near_beats", "near_beats_by_chance")
        rules.bar(np.arange(4) + 0.4 * number - 0.2, [whole["rules"][key] for key in keys], 0.38, color=colour)
        legend.scatter([], [], color=colour, label=f"{name}: {whole['dances']} dances")
    minima.set(title="speed minima", xlabel="beats from the nearest beat", ylabel="share", ylim=(0, None))
    spectrum.set(title="power of the body's speed", ylabel="share")
    spectrum.tick_params(axis="x", labelrotation=45)
    rules.set(title="read by simple rules, ±70 ms", ylim=(0, 1))
    rules.set_xticks(range(4), ["F of\nminima", "F\ntracked", "minima\nnear beats", "… by\nchance"])
    legend.axis("off")
    legend.legend(loc="center", title="large dot: clips agree; dark: strong")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
