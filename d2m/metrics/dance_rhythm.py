"""How a dance lies in the beat: when the pelvis is high and when hands, feet and body are fast, of points in a picture.

Each signal is correlated with sinusoids of half a beat, one and two beats, clip by clip of eight beats. Strength is the
share of a signal's variation that such a sinusoid explains; agreement is the mean resultant length of the phases over
clips (1: all alike, about 0.9/√clips by chance); phase is where the signal is highest, in beats after the beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from d2m.metrics.alignment import image_plane_beats_s, image_plane_speed, speed_drop
from d2m.metrics.beat_tracker import track_envelope_beats_s
from d2m.metrics.beats import beat_f

PERIODS_BEATS = (0.5, 1, 2)
SIGNALS = ("pelvis height", "hands", "feet", "body")
BANDS_HZ = ((0.2, 0.7), (0.7, 1.2), (1.2, 2.4), (2.4, 4.5), (4.5, 8.0), (8.0, 15.0))
NEAR_S = 0.07

_COCO = {"head": (0,), "hands": (9, 10), "feet": (15, 16), "hips": (11, 12)}
_COCO_REST = (5, 6, 7, 8, 13, 14)
_SMPL = {"head": (15,), "hands": (20, 21), "feet": (7, 8), "hips": (1, 2)}
_SMPL_REST = (16, 17, 18, 19, 4, 5)

_CLIP_BEATS = 8
_SMOOTH_S = 0.02
_HEIGHT_M = 1.5
"""From ankles to nose: what a body is scaled to."""


@dataclass(frozen=True)
class SeenDance:
    """A dance as a picture shows it, with its beats.

    Args:
        genre: code such as gHO.
        points_m: nose, hands, feet, hips and other joints across and up, metres of a body of common height.
        fps: pictures per second.
        beats_s: true beats.
    """

    genre: str
    points_m: Float[np.ndarray, "time 13 2"]
    fps: float | int
    beats_s: Float[np.ndarray, " beat"]

    @staticmethod
    def of_points(
        genre: str,
        points: Float[np.ndarray, "time point 2"],
        fps: float | int,
        beats_s: Float[np.ndarray, " beat"],
        coco: bool,
    ) -> "SeenDance":
        """From all points of a layout.

        Args:
            points: across and up, in any unit.
            coco: 17 points of COCO; else SMPL's first 22 joints or all.
        """
        parts, rest = (_COCO, _COCO_REST) if coco else (_SMPL, _SMPL_REST)
        order = [index for name in ("head", "hands", "feet", "hips") for index in parts[name]] + list(rest)
        chosen = np.asarray(points, np.float64)[:, order]
        tall = np.median(chosen[:, 0, 1] - chosen[:, 3:5, 1].mean(axis=1))
        inside = beats_s[(beats_s >= 0) & (beats_s < len(points) / fps)]
        return SeenDance(genre, chosen * (_HEIGHT_M / max(float(tall), 1e-6)), fps, inside)

    def smooth_m(self) -> Float[np.ndarray, "time 13 2"]:
        """Points without a detector's trembling."""
        return gaussian_filter1d(self.points_m, _SMOOTH_S * self.fps, axis=0)

    def signals(self) -> dict[str, Float[np.ndarray, " time"]]:
        """`SIGNALS`: metres above the picture's middle, and mean speeds in m/s."""
        points = self.smooth_m()
        speeds = np.linalg.norm(np.gradient(points, 1 / self.fps, axis=0), axis=-1)
        return {
            "pelvis height": points[:, 5:7, 1].mean(axis=1),
            "hands": speeds[:, 1:3].mean(axis=1),
            "feet": speeds[:, 3:5].mean(axis=1),
            "body": speeds.mean(axis=1),
        }

    def beat_numbers(self) -> Float[np.ndarray, " time"]:
        """Beats since the first one at each picture; NaN before it and after the last."""
        time_s = np.arange(len(self.points_m)) / self.fps
        numbers = np.arange(len(self.beats_s), dtype=float)
        return np.interp(time_s, self.beats_s, numbers, left=np.nan, right=np.nan)


def _oscillations(
    dance: SeenDance, signal: Float[np.ndarray, " time"], period: float | int
) -> list[tuple[complex, float]]:
    """Complex amplitude at a period, and standard deviation, of a signal in each clip, freed of its parabola."""
    beat = dance.beat_numbers()
    found = []
    for start in range(0, len(dance.beats_s) - _CLIP_BEATS, _CLIP_BEATS):
        clip = (beat >= start) & (beat < start + _CLIP_BEATS)
        rest = signal[clip] - np.polyval(np.polyfit(beat[clip], signal[clip], 2), beat[clip])
        amplitude = 2 * np.mean(rest * np.exp(-2j * np.pi * beat[clip] / period))
        found.append((complex(amplitude), float(rest.std())))
    return found


def phases(dances: Sequence[SeenDance]) -> dict[str, dict[str, dict[str, float]]]:
    """Of each signal and period: strength, agreement, phase in beats, amplitude (m or m/s), and the number of clips."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    all_signals = [dance.signals() for dance in dances]
    for name in SIGNALS:
        table[name] = {}
        for period in PERIODS_BEATS:
            found = [
                each
                for dance, signals in zip(dances, all_signals, strict=True)
                for each in _oscillations(dance, signals[name], period)
            ]
            if not found:
                continue
            amplitude, deviation = (np.array(column) for column in zip(*found, strict=True))
            size = np.abs(amplitude)
            mean = np.mean(amplitude / np.maximum(size, 1e-12))
            table[name][f"{period:g}"] = {
                "strength": float(np.mean(size / np.sqrt(2) / np.maximum(deviation, 1e-12))),
                "agreement": float(np.abs(mean)),
                "phase_beats": float((-np.angle(mean) / (2 * np.pi)) % 1 * period),
                "amplitude": float(size.mean()),
                "clips": len(found),
            }
    return table


def speed_spectrum(dances: Sequence[SeenDance]) -> dict[str, float]:
    """Shares of the power of the body's speed in `BANDS_HZ`."""
    power = np.zeros(len(BANDS_HZ))
    for dance in dances:
        speed = dance.signals()["body"]
        spectrum = np.abs(np.fft.rfft((speed - speed.mean()) * np.hanning(len(speed)))) ** 2
        hertz = np.fft.rfftfreq(len(speed), 1 / dance.fps)
        bands = np.array([spectrum[(hertz >= low) & (hertz < high)].sum() for low, high in BANDS_HZ])
        power += bands / max(float(bands.sum()), 1e-12)
    return {
        f"{low:g}-{high:g} Hz": float(each) for (low, high), each in zip(BANDS_HZ, power / len(dances), strict=True)
    }


def _minima(dance: SeenDance) -> Float[np.ndarray, " minimum"]:
    """Speed minima between the first and the last beat, in beats since the first."""
    minima_s = image_plane_beats_s(dance.smooth_m(), dance.fps)
    inside = minima_s[(minima_s >= dance.beats_s[0]) & (minima_s <= dance.beats_s[-1])]
    return np.interp(inside, dance.beats_s, np.arange(len(dance.beats_s), dtype=float))


def minima_offsets(dances: Sequence[SeenDance]) -> list[float]:
    """Where speed minima are, in beats from the nearest beat: shares of twelve bins from -0.5 to 0.5."""
    numbers = np.concatenate([_minima(dance) for dance in dances])
    bins = np.histogram(numbers - np.round(numbers), 12, (-0.5, 0.5))[0]
    return (bins / max(int(bins.sum()), 1)).tolist()


def read_by_rules(dances: Sequence[SeenDance]) -> dict[str, float]:
    """What simple rules read: beat F at ±70 ms of speed minima and of beats tracked on joint speed, how many minima there
    are per beat, how many of them are near a beat, and how many would be by chance."""
    rows = []
    for dance in dances:
        points, period_s = dance.smooth_m(), float(np.median(np.diff(dance.beats_s)))
        drop = speed_drop(image_plane_speed(points, dance.fps))
        number = _minima(dance)
        near = np.abs(number - np.round(number)) * period_s < NEAR_S
        rows.append(
            (
                beat_f(dance.beats_s, image_plane_beats_s(points, dance.fps)),
                beat_f(dance.beats_s, track_envelope_beats_s(drop, frame_rate=dance.fps)),
                len(number) / max(len(dance.beats_s) - 1, 1),
                float(near.mean()) if len(near) else 0.0,
                min(2 * NEAR_S / period_s, 1.0),
            )
        )
    keys = ("minima_beat_f", "tracked_beat_f", "minima_per_beat", "minima_near_beats", "near_beats_by_chance")
    return dict(zip(keys, np.mean(rows, axis=0).tolist(), strict=True))
