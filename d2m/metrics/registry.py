"""Every headline metric by its key: how it is printed, and which way is better. Tables and comparisons read it."""

from dataclasses import dataclass
from typing import Literal

from d2m.metrics.beats import TOLERANCES_S

TOLERANCES_MS = tuple(round(tolerance_s * 1000) for tolerance_s in TOLERANCES_S)


@dataclass(frozen=True)
class Metric:
    """A measure of one clip.

    Args:
        key: in `clips[].metrics`; in `summary` it is the same, but for the beat scores, which lie under their tolerance
            (`beat_f_70` is `summary.beat_f.70`).
        title: for tables.
        better: which way is better; None where a number only describes.
    """

    key: str
    title: str
    better: Literal["higher", "lower"] | None

    @property
    def path(self) -> tuple[str, ...]:
        """Keys that lead to it in `summary`."""
        stem, _, tolerance = self.key.rpartition("_")
        return (stem, tolerance) if self.key.startswith("beat_") else (self.key,)


_BEATS = [
    Metric(f"beat_{part}_{tolerance}", f"beat {word} ±{tolerance} ms", "higher")
    for part, word in (("f", "F"), ("precision", "precision"), ("recall", "recall"))
    for tolerance in TOLERANCES_MS
]

_OTHERS = [
    Metric("tempo_within_2_percent", "tempo within 2 %", "higher"),
    Metric("tempo_octave_errors", "tempo off by an octave", "lower"),
    Metric("onset_f", "onset F ±50 ms", "higher"),
    Metric("continuity_cmlt", "continuity CMLt", "higher"),
    Metric("continuity_amlt", "continuity AMLt", "higher"),
    Metric("drift_ms_per_second", "beat drift, ms/s (absolute)", "lower"),
    Metric("alignment_motion", "alignment over motion beats (AIST++)", "higher"),
    Metric("alignment_music", "alignment over music beats (Bailando)", "higher"),
    Metric("alignment_harmonic", "alignment, harmonic mean", "higher"),
    Metric("alignment_image_plane", "alignment in the picture, harmonic mean (after DabFusion)", "higher"),
    Metric("genre_accuracy", "genre as heard", "higher"),
    Metric("genre_kl", "KL of heard genres, nats", "lower"),
    Metric("motion_genre_accuracy", "genre as seen in the motion", "higher"),
    Metric("log_mel_l1", "log-mel L1", "lower"),
    Metric("loudness_lufs", "loudness, LUFS", None),
    Metric("clipped_share", "clipped samples", "lower"),
    Metric("silent_share", "silent frames", "lower"),
    Metric("dc_offset", "DC offset", "lower"),
    Metric("stereo_correlation", "stereo correlation", None),
]

METRICS = {metric.key: metric for metric in (*_BEATS, *_OTHERS)}
HEADLINE = "beat_f_70"
