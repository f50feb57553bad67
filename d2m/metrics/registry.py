"""Every metric once: its place in `scores.json`, its titles, digits and meaning, and which way is better.

Tables, report, comparison, leaderboard, sweeps and trials read it; published protocols are in `d2m.metrics.protocols`.
"""

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
        meaning: in plain words, shown when the report's column is pointed at.
        place: heading and group of columns in the report; None for what only files hold.
        column: title under these headings.
        whole: short title where it stands alone; by default `title`.
        narrow: title of a narrow column; by default that where it stands alone.
        digits: after the point.
        unit: of the value; empty for a number between 0 and 1 that is no share.
        tolerance: within which events or tempi count as the same, None where there is none.
        headline: whether it stands among the few figures that are shown first.
        by_construction: baselines that get full marks because they know what the metric asks for.
    """

    key: str
    title: str
    better: Literal["higher", "lower"] | None
    meaning: str = ""
    place: tuple[str, str] | None = None
    column: str = ""
    whole: str = ""
    narrow: str = ""
    digits: int = 2
    unit: str = ""
    tolerance: str | None = None
    headline: bool = False
    by_construction: tuple[str, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """Keys that lead to it in `summary`."""
        stem, _, tolerance = self.key.rpartition("_")
        return (stem, tolerance) if self.key.startswith("beat_") else (self.key,)

    @property
    def yes_or_no(self) -> bool:
        """Whether a single clip either has it or not, so that its mean is a share of clips."""
        return self.unit == "share of clips"

    @property
    def alone(self) -> str:
        """Short title where it stands without the report's table around it."""
        return self.whole or self.title


def _beat_metric(part: str, milliseconds: int) -> Metric:
    word, meaning = {
        "f": ("F", f"one-to-one beat F-measure within {milliseconds} ms"),
        "precision": ("precision", "share of generated beats that match"),
        "recall": ("recall", "share of reference beats that are matched"),
    }[part]
    title, place, column = f"beat {word} ±{milliseconds} ms", None, ""
    if part == "f":
        place, column = (_BEATS, "beat F within"), f"±{milliseconds} ms"
    elif milliseconds == 70:
        place, column = (_BEATS, "at ±70 ms"), word
    return Metric(
        f"beat_{part}_{milliseconds}", title, "higher", meaning, place, column, "" if part == "f" else f"beat {word}",
        f"beat {word}" if part == "f" else word, tolerance=f"{milliseconds} ms",
        headline=(part, milliseconds) == ("f", 70),
    )  # fmt: skip


_BEATS, _STEADY, _SOUNDING = "Beats and tempo", "Steadiness and alignment with the dance", "Genre and sound"
_TEMPO, _ONSETS = (_BEATS, "tempo"), (_BEATS, "onsets")
_CONTINUITY, _DRIFT = (_STEADY, "continuity (mir_eval)"), (_STEADY, "drift")
_ALIGNMENT, _GENRE, _SOUND = (_STEADY, "kinematic alignment over"), (_SOUNDING, "genre"), (_SOUNDING, "sound")
_HARMONY = (_SOUNDING, "harmony")
_ON_TEMPO, _ON_MINIMA = ("metronome_reference_tempo",), ("motion_minima",)

_ALL = (
    *(_beat_metric(part, milliseconds) for part in ("f", "precision", "recall") for milliseconds in TOLERANCES_MS),
    Metric("tempo_within_2_percent", "tempo within 2 %", "higher",
           "share of clips whose tempo is within 2 % of the true one", _TEMPO, "±2 %", "tempo ±2 %",
           by_construction=_ON_TEMPO, unit="share of clips", tolerance="2 %", headline=True),
    Metric("tempo_octave_errors", "tempo off by an octave", "lower",
           "share at half or double the true tempo", _TEMPO, "octave errors", "octave error",
           "octave", unit="share of clips", tolerance="2 %"),
    Metric("tempo_related", "tempo related", "higher",
           "share whose tempo is the true one times 1, 2, 3, 3/2 or the inverse of one of these", _TEMPO, "related ±4 %",
           by_construction=_ON_TEMPO, unit="share of clips", tolerance="4 %"),
    Metric("onset_f", "onset F ±50 ms", "higher",
           "F-measure of onsets against the reference's, within 50 ms", _ONSETS, "F ±50 ms", "onset F",
           tolerance="50 ms", headline=True),
    Metric("continuity_cmlt", "continuity CMLt", "higher",
           "share of beats in stretches that follow at the right level", _CONTINUITY, "CMLt", "CMLt",
           unit="share of beats"),
    Metric("continuity_amlt", "continuity AMLt", "higher",
           "the same, half, double and off-beat levels allowed", _CONTINUITY, "AMLt", "AMLt", unit="share of beats"),
    Metric("drift_ms_per_second", "beat drift, ms/s (absolute)", "lower",
           "how fast beats slide against the reference's, absolute", _DRIFT, "ms per s", "drift, ms/s",
           by_construction=_ON_TEMPO, unit="ms/s"),
    Metric("drift_ms", "beat drift over the piece, ms", "lower",
           "that drift times what is judged: how late the last beat is for the first", _DRIFT, "ms in all", "drift, ms",
           by_construction=_ON_TEMPO, digits=0, unit="ms"),
    Metric("interval_deviation_ms", "inter-beat deviation, ms", "lower",
           "standard deviation of the time from beat to beat", (_STEADY, "intervals"), "deviation, ms", "deviation, ms",
           by_construction=("metronome_120", *_ON_TEMPO), digits=1, unit="ms"),
    Metric("alignment_motion", "alignment over motion beats (AIST++)", "higher",
           "over motion beats (AIST++); rewards dense music", _ALIGNMENT, "motion", "align. motion",
           by_construction=_ON_MINIMA, narrow="al. motion"),
    Metric("alignment_music", "alignment over music beats (Bailando)", "higher",
           "over music beats (Bailando); rewards sparse music", _ALIGNMENT, "music", "align. music",
           by_construction=_ON_MINIMA, narrow="al. music"),
    Metric("alignment_harmonic", "alignment, harmonic mean", "higher",
           "harmonic mean of the two; neither density alone raises it", _ALIGNMENT, "both", "alignment, both ways",
           by_construction=_ON_MINIMA, headline=True),
    Metric("alignment_image_plane", "alignment in the picture, harmonic mean (after DabFusion)", "higher",
           "after DabFusion: as a standing camera sees the joints", _ALIGNMENT, "in the picture",
           "alignment in the picture"),
    Metric("genre_accuracy", "genre as heard", "higher",
           "share of clips that sound like the dance's genre", _GENRE, "accuracy", "genre right",
           unit="share of clips", headline=True),
    Metric("genre_kl", "KL of heard genres, nats", "lower",
           "divergence of the genres heard from the reference's, in nats; lower is nearer", _GENRE, "KL", "genre KL",
           unit="nats"),
    Metric("motion_genre_accuracy", "genre as seen in the motion", "higher",
           "share of dances whose genre the motion classifier sees", _GENRE, "from motion", "genre from motion",
           unit="share of clips"),
    Metric("log_mel_l1", "log-mel L1", "lower",
           "mean distance of log-mel spectrograms; lower is nearer", _SOUND, "log-mel L1", unit="nepers"),
    Metric("in_key_share", "energy in one key", "higher",
           "share of the pitch classes' energy on the seven notes of the best key; drums alone have 7/12", _HARMONY, "in key",
           unit="share of energy"),
    Metric("chord_clarity", "chord clarity", "higher",
           "correlation of a beat's pitch classes with the nearest major or minor triad", _HARMONY, "chords"),
    Metric("key_steadiness", "key steadiness", "higher",
           "correlation of the pitch classes of 8 s with those of the rest of the piece", _HARMONY, "steady"),
    Metric("loudness_lufs", "loudness, LUFS", None,
           "integrated loudness, ITU-R BS.1770", _SOUND, "LUFS", "LUFS", digits=1, unit="LUFS"),
    Metric("clipped_share", "clipped samples", "lower",
           "share of samples in runs at full scale", _SOUND, "clipped", "clipped", digits=4, unit="share of samples"),
    Metric("silent_share", "silent frames", "lower",
           "share of 50 ms frames under -60 dBFS", _SOUND, "silent", "silent", digits=3, unit="share of frames"),
    Metric("dc_offset", "DC offset", "lower",
           "largest mean of a channel, of full scale", _SOUND, "DC", "DC", digits=4, unit="full scale"),
    Metric("stereo_correlation", "stereo correlation", None,
           "correlation of left and right; 1 is mono", _SOUND, "stereo", "stereo"),
)  # fmt: skip

METRICS = {metric.key: metric for metric in _ALL}
HEADLINE = "beat_f_70"
KAD = Metric(
    "kad", "kernel distance × 100 (KAD)", "lower", "kernel distance between the set of clips and the references, unbiased",
    whole="KAD × 100",
)  # fmt: skip
"""The one metric of whole sets that stands beside those of clips."""
HEADLINES = tuple(metric for metric in _ALL if metric.headline)
"""The few that are shown first, `HEADLINE` before all."""


def report_groups() -> dict[str, dict[str, tuple[Metric, ...]]]:
    """The report's tables: by heading, by group of columns, in the order above."""
    groups: dict[str, dict[str, tuple[Metric, ...]]] = {}
    for metric in _ALL:
        if metric.place:
            heading, group = metric.place
            columns = groups.setdefault(heading, {})
            columns[group] = (*columns.get(group, ()), metric)
    return groups
