"""Published protocols as their authors' code computes them: `d2mgan`, `loris`, `d2md` and `inversion`.

`d2mgan`, `loris` and `inversion` count onsets in bins of one second or a fifth of one; a bin is on when at least one onset
falls into it. Neither the number of onsets in a bin nor their place counts, which is the known defect: music with an onset
in every second has all of its one-second bins on, whatever its tempo and phase.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import librosa
import numpy as np
from jaxtyping import Bool, Float

from d2m.core.music import Music
from d2m.metrics.beats import checked_times, fit_tempo_bpm, harmonic_mean


def occupied_bins(
    onsets_s: Float[np.ndarray, " onset"], seconds: float | int, bins_per_second: int
) -> Bool[np.ndarray, " bin"]:
    """Which bins hold an onset: `ceil(seconds * bins_per_second)` bins, an onset at t in bin `trunc(t * bins_per_second)`.

    An onset at or after the end of the last bin, where the published code stops with an index error, is left out.

    Args:
        onsets_s: onset times in seconds.
        seconds: duration of the music: samples divided by the sample rate, so that the count of bins is exact.
        bins_per_second: 1 or 5 in the published protocols.

    Raises:
        ValueError: for improper times, or a negative duration.
    """
    if not (np.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"seconds must not be negative, found {seconds}.")
    bins = np.zeros(int(np.ceil(seconds * bins_per_second)), dtype=bool)
    at = np.trunc(checked_times(onsets_s, "onsets") * bins_per_second).astype(int)
    bins[at[at < bins.size]] = True
    return bins


# Events of the published protocols, with their own detectors and settings, once per file.
#
# The samples are those of `librosa.load` bit for bit; nothing is padded, trimmed or gated. Two onset envelopes serve all: the
# mean over mel bands for onsets and tempo, the median for the beat tracker (librosa's own defaults for each).


PROTOCOL_SAMPLE_RATE = 22050
PROTOCOL_HOP_SAMPLES = 512

D2MGAN_ONSETS = {"wait": 1, "delta": 0.2, "pre_avg": 1, "post_avg": 1, "post_max": 1}
"""Arguments of `librosa.onset.onset_detect` in D2M-GAN's `beats_scores.py`; the others are librosa's defaults."""

LORIS_ONSETS = {"wait": 1, "delta": 0.2, "pre_avg": 3, "post_avg": 3, "pre_max": 3, "post_max": 3}
"""The same in LORIS's `beats_scores.py`: all four windows are 3 frames."""


@dataclass(frozen=True)
class ProtocolEvents:
    """Event times in seconds, as each protocol's own detector finds them in one piece of music.

    Args:
        seconds: duration: samples at 22,050 Hz divided by that rate.
        d2mgan_onsets_s: onsets for `d2mgan`.
        loris_onsets_s: onsets for `loris` and `inversion`.
        d2md_beats_s: beats for `d2md`, by `librosa.beat.beat_track` with its defaults, weak beats at the ends trimmed.
        tempo_bpm: global tempo for `inversion`, by `librosa.feature.tempo`; 0 where there is no onset strength.
    """

    seconds: float
    d2mgan_onsets_s: Float[np.ndarray, " d2mgan"]
    loris_onsets_s: Float[np.ndarray, " loris"]
    d2md_beats_s: Float[np.ndarray, " beat"]
    tempo_bpm: float

    def until(self, seconds: float | int) -> "ProtocolEvents":
        """The same, without events at or after `seconds`; the tempo stays that of the whole."""
        return replace(
            self,
            seconds=min(self.seconds, float(seconds)),
            d2mgan_onsets_s=self.d2mgan_onsets_s[self.d2mgan_onsets_s < seconds],
            loris_onsets_s=self.loris_onsets_s[self.loris_onsets_s < seconds],
            d2md_beats_s=self.d2md_beats_s[self.d2md_beats_s < seconds],
        )

    @staticmethod
    def of_times(times_s: Float[np.ndarray, " event"], seconds: float | int) -> "ProtocolEvents":
        """Events of something that makes no sound (a beat list, a metronome, silence): each time is beat and onset.

        Raises:
            ValueError: for improper times.
        """
        times_s = checked_times(times_s)
        times_s = times_s[times_s < seconds]
        return ProtocolEvents(float(seconds), times_s, times_s, times_s, fit_tempo_bpm(times_s) or 0.0)


def protocol_samples(music: Music) -> Float[np.ndarray, " sample"]:
    """Mono samples at 22,050 Hz, equal to those of `librosa.load` on a file of this music."""
    return librosa.resample(
        librosa.to_mono(music.waveform), orig_sr=music.sample_rate, target_sr=PROTOCOL_SAMPLE_RATE, res_type="soxr_hq"
    )


def extract_events(music: Music) -> ProtocolEvents:
    """All events that the published protocols detect in a piece of music; empty lists and 0 BPM for digital silence."""
    samples = protocol_samples(music)
    rate: dict[str, Any] = {"sr": PROTOCOL_SAMPLE_RATE, "hop_length": PROTOCOL_HOP_SAMPLES}
    if samples.size == 0 or not samples.any():
        return ProtocolEvents.of_times(np.zeros(0), samples.size / PROTOCOL_SAMPLE_RATE)
    mean = librosa.onset.onset_strength(y=samples, **rate)
    median = librosa.onset.onset_strength(y=samples, aggregate=np.median, **rate)
    d2mgan_s, loris_s = (
        librosa.onset.onset_detect(onset_envelope=mean, units="time", **rate, **windows)
        for windows in (D2MGAN_ONSETS, LORIS_ONSETS)
    )
    _, beats_s = librosa.beat.beat_track(onset_envelope=median, units="time", **rate)
    tempo_bpm = float(librosa.feature.tempo(onset_envelope=mean, **rate)[0]) if mean.any() else 0.0
    return ProtocolEvents(
        seconds=samples.size / PROTOCOL_SAMPLE_RATE,
        d2mgan_onsets_s=np.asarray(d2mgan_s, dtype=np.float64),
        loris_onsets_s=np.asarray(loris_s, dtype=np.float64),
        d2md_beats_s=np.asarray(beats_s, dtype=np.float64),
        tempo_bpm=tempo_bpm,
    )


# Coverage and hit (`d2mgan`, `d2md`) divide by the number of the reference's events: coverage says how many events the
# generated music has and not whether they are right, and neither is bounded by 1 from above in `d2md`.


D2MD_TOLERANCE_S = 5 * PROTOCOL_HOP_SAMPLES / PROTOCOL_SAMPLE_RATE
"""Five frames of librosa's beat tracker, 116 ms."""

D2MGAN_BINS_PER_SECOND = 1


@dataclass(frozen=True)
class CoverageAndHit:
    """Coverage (can exceed 1) and hit; NaN where the reference has no events."""

    coverage: float
    hit: float


UNDEFINED = CoverageAndHit(float("nan"), float("nan"))


def d2mgan(
    reference_s: Float[np.ndarray, " reference"], generated_s: Float[np.ndarray, " generated"], seconds: float | int
) -> CoverageAndHit:
    """The `d2mgan` protocol of one clip (D2M-GAN, ECCV 2022, arXiv:2204.00604; also CDCD, arXiv:2206.07771).

    Onsets are counted in bins of one second: coverage is the number of bins on in the generated music over those on in
    the reference, hit the number on in both over those on in the reference. NaN for a reference without onsets, where
    the published code divides by zero. The published code demands equally many bins: here generated music is cut or
    filled up with empty bins to the reference's length, so that stopping early costs.

    Args:
        reference_s: onsets of the reference, in seconds; see `extract_events`.
        generated_s: onsets of the generated music, in seconds.
        seconds: duration of the reference.

    Raises:
        ValueError: for improper times.
    """
    reference = occupied_bins(reference_s, seconds, D2MGAN_BINS_PER_SECOND)
    generated = occupied_bins(generated_s, seconds, D2MGAN_BINS_PER_SECOND)
    if not reference.any():
        return UNDEFINED
    total = int(reference.sum())
    return CoverageAndHit(int(generated.sum()) / total, int((reference & generated).sum()) / total)


def d2md(reference_s: Float[np.ndarray, " reference"], generated_s: Float[np.ndarray, " generated"]) -> CoverageAndHit:
    """The `d2md` protocol (Dance2Music-Diffusion, EURASIP JASMP 2024:48): beats by `librosa.beat.beat_track`.

    Coverage is |S| / |G|; hit is the number of pairs within five tracker frames, divided by |G|. All pairs are
    counted, so that one beat may be hit twice and hit is not bounded by 1. Both are NaN for an empty reference,
    where the published code divides by zero; such clips are left out of means.

    Args:
        reference_s: beats G of the reference, in seconds.
        generated_s: beats S of the generated music, in seconds.

    Raises:
        ValueError: for improper times.
    """
    reference_s, generated_s = checked_times(reference_s), checked_times(generated_s)
    if reference_s.size == 0:
        return UNDEFINED
    # Times are whole frames divided by the frame rate: the margin keeps a distance of exactly five frames inside.
    close = np.abs(reference_s[:, None] - generated_s[None, :]) <= D2MD_TOLERANCE_S + 1e-6
    return CoverageAndHit(generated_s.size / reference_s.size, float(close.sum()) / reference_s.size)


def mean_coverage_and_hit(clips: Sequence[CoverageAndHit]) -> CoverageAndHit:
    """Means over the clips that are defined, as both papers report; NaN where there is none."""
    defined = [clip for clip in clips if not np.isnan(clip.coverage)]
    if not defined:
        return UNDEFINED
    return CoverageAndHit(
        coverage=float(np.mean([clip.coverage for clip in defined])), hit=float(np.mean([clip.hit for clip in defined]))
    )


# `loris` and `inversion` divide the hits once by the generated and once by the reference's onsets.


LORIS_BINS_PER_SECOND = 1
INVERSION_BINS_PER_SECOND = 5


@dataclass(frozen=True)
class LorisClip:
    """Beat coverage score (hits over generated bins) and beat hit score (hits over reference bins) of one clip."""

    bcs: float
    bhs: float


@dataclass(frozen=True)
class LorisSummary:
    """Means over clips, their sample standard deviations `csd` and `hsd` (ddof 1), and `f1` of the two means."""

    bcs: float
    bhs: float
    csd: float
    hsd: float
    f1: float


@dataclass(frozen=True)
class InversionScore:
    """Precision, recall and F1 in fifths of a second, and the difference of two tempi in BPM."""

    precision: float
    recall: float
    f1: float
    tempo_difference_bpm: float


def _share(hits: Bool[np.ndarray, " bin"], of: Bool[np.ndarray, " bin"]) -> float:
    return int(hits.sum()) / int(of.sum()) if of.any() else 0.0


def loris(
    reference_s: Float[np.ndarray, " reference"],
    generated_s: Float[np.ndarray, " generated"],
    reference_seconds: float | int,
    generated_seconds: float | int,
) -> LorisClip:
    """The `loris` protocol of one clip (LORIS, ICML 2023, arXiv:2305.01319).

    As `d2mgan`, with other onsets, and coverage divided by the generated bins: what is called BCS here is a precision.
    A score with nothing to divide by is 0, as in the published code. The reference is cut to the generated length, so
    that a short output is not punished; longer generated music, which the published code refuses, is cut.

    Args:
        reference_s: onsets of the reference, in seconds; see `extract_events`.
        generated_s: onsets of the generated music, in seconds.
        reference_seconds: duration of the reference.
        generated_seconds: duration of the generated music.

    Raises:
        ValueError: for improper times.
    """
    reference = occupied_bins(reference_s, reference_seconds, LORIS_BINS_PER_SECOND)
    generated = occupied_bins(generated_s, generated_seconds, LORIS_BINS_PER_SECOND)
    count = min(reference.size, generated.size)
    reference, generated = reference[:count], generated[:count]
    hits = reference & generated
    return LorisClip(bcs=_share(hits, generated), bhs=_share(hits, reference))


def loris_summary(clips: Sequence[LorisClip]) -> LorisSummary:
    """Over clips: means, sample standard deviations (NaN for one clip), and the harmonic mean of the two means."""
    if not clips:
        return LorisSummary(*[float("nan")] * 5)
    bcs, bhs = np.array([clip.bcs for clip in clips]), np.array([clip.bhs for clip in clips])
    several = len(clips) > 1
    return LorisSummary(
        bcs=float(bcs.mean()),
        bhs=float(bhs.mean()),
        csd=float(bcs.std(ddof=1)) if several else float("nan"),
        hsd=float(bhs.std(ddof=1)) if several else float("nan"),
        f1=harmonic_mean(float(bcs.mean()), float(bhs.mean())),
    )


def inversion(
    reference_s: Float[np.ndarray, " reference"],
    generated_s: Float[np.ndarray, " generated"],
    seconds: float | int,
    reference_bpm: float | int,
    generated_bpm: float | int,
) -> InversionScore:
    """The `inversion` protocol of one clip (Li et al., SIGGRAPH Asia 2024, arXiv:2401.17800).

    Onsets in bins of a fifth of a second, and the absolute difference of two global tempi. The paper leaves the onset
    detector's settings open: those of `loris` are taken, as public evaluation code that follows the paper does.
    Generated music is cut or filled up with empty bins to the reference's length. A score with nothing to divide by is
    0; music without a tempo has 0 BPM; the difference is NaN where the reference has none.

    Args:
        reference_s: onsets of the reference, in seconds; see `extract_events`.
        generated_s: onsets of the generated music, in seconds.
        seconds: duration of the reference.
        reference_bpm, generated_bpm: global tempi in BPM, 0 where there is none.

    Raises:
        ValueError: for improper times.
    """
    reference = occupied_bins(reference_s, seconds, INVERSION_BINS_PER_SECOND)
    generated = occupied_bins(generated_s, seconds, INVERSION_BINS_PER_SECOND)
    hits = reference & generated
    precision, recall = _share(hits, generated), _share(hits, reference)
    difference_bpm = abs(float(generated_bpm) - float(reference_bpm)) if reference_bpm > 0 else float("nan")
    return InversionScore(precision, recall, harmonic_mean(precision, recall), difference_bpm)


def inversion_mean(clips: Sequence[InversionScore]) -> InversionScore:
    """Means over clips, the tempo difference over those that have one; NaN where there is nothing to average.

    F1 is the harmonic mean of the mean precision and the mean recall, as in the paper's table (0.412 and 0.387 give
    0.399), not the mean of the clips' F1.
    """

    def mean_of(values: list[float]) -> float:
        known = [value for value in values if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")

    precision, recall = mean_of([clip.precision for clip in clips]), mean_of([clip.recall for clip in clips])
    return InversionScore(
        precision=precision,
        recall=recall,
        f1=harmonic_mean(precision, recall) if clips else float("nan"),
        tempo_difference_bpm=mean_of([clip.tempo_difference_bpm for clip in clips]),
    )


# The protocols by name: what each is, where it comes from, and what is wrong with it; and all at once.


@dataclass(frozen=True)
class Protocol:
    """A published way to compare the rhythm of generated and reference music.

    Args:
        name: key in `scores.json`.
        title: the system that it comes from.
        paper: where it was published.
        beats_from: the detector behind it.
        definition: what is computed.
        defect: what a reader must know before comparing numbers.
        saturated: True where drums at a wrong tempo and a random phase get nearly full marks.
        columns: names of its scores, in the order to print.
    """

    name: str
    title: str
    paper: str
    beats_from: str
    definition: str
    defect: str
    saturated: bool
    columns: tuple[str, ...]


_SATURATION = "Every second with any onset counts as hit: drums at a wrong tempo and a random phase score nearly 1."

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="d2mgan",
            title="D2M-GAN, CDCD",
            paper="Zhu et al., ECCV 2022, arXiv:2204.00604; Zhu et al., ICLR 2023, arXiv:2206.07771",
            beats_from="librosa.onset.onset_detect(wait=1, delta=0.2, pre_avg=1, post_avg=1, post_max=1), 22,050 Hz",
            definition="one-second bins with an onset: coverage = |S|/|G|, hit = |G and S|/|G|; means over clips",
            defect=_SATURATION + " Coverage can exceed 1 and asks only how many bins are on.",
            saturated=True,
            columns=("coverage", "hit"),
        ),
        Protocol(
            name="loris",
            title="LORIS",
            paper="Yu et al., ICML 2023, arXiv:2305.01319",
            beats_from="librosa.onset.onset_detect(wait=1, delta=0.2, all four windows 3), 22,050 Hz",
            definition="one-second bins with an onset, reference cut to the generated length: BCS = |G and S|/|S|,"
            " BHS = |G and S|/|G|; CSD, HSD = sample standard deviations over clips; F1 of the two means",
            defect=_SATURATION + " BCS is a precision here and a count in D2M-GAN; a short output is not punished.",
            saturated=True,
            columns=("bcs", "bhs", "csd", "hsd", "f1"),
        ),
        Protocol(
            name="d2md",
            title="Dance2Music-Diffusion",
            paper="EURASIP JASMP 2024:48",
            beats_from="librosa.beat.beat_track, defaults, 22,050 Hz",
            definition="coverage = |S|/|G|, hit = pairs of beats within 5 frames (116 ms) / |G|; means over clips",
            defect="Pairs are not one to one, so that denser beats hit more and hit can exceed 1; coverage asks only how"
            " many beats there are.",
            saturated=False,
            columns=("coverage", "hit"),
        ),
        Protocol(
            name="inversion",
            title="Encoder-based textual inversion",
            paper="Li et al., SIGGRAPH Asia 2024, arXiv:2401.17800",
            beats_from="librosa.onset.onset_detect with the settings of LORIS (the paper names none), 22,050 Hz;"
            " librosa.feature.tempo",
            definition="precision and recall of fifth-of-a-second bins with an onset, |difference of tempi| in BPM: means"
            " over clips; F1 of the two means",
            defect="Onsets on both sides of a bin's edge miss each other and those 0.2 s apart may match; dense music"
            " fills most bins. The tempo is a lag of an autocorrelation, in steps of about 5 % near 120 BPM.",
            saturated=False,
            columns=("precision", "recall", "f1", "tempo_difference_bpm"),
        ),
    )
}


@dataclass(frozen=True)
class ProtocolScores:
    """One clip under all published protocols."""

    d2mgan: CoverageAndHit
    loris: LorisClip
    d2md: CoverageAndHit
    inversion: InversionScore


def score_protocols(reference: ProtocolEvents, generated: ProtocolEvents) -> ProtocolScores:
    """One clip under all published protocols, each with the events of its own detector.

    Raises:
        ValueError: for improper times.
    """
    return ProtocolScores(
        d2mgan=d2mgan(reference.d2mgan_onsets_s, generated.d2mgan_onsets_s, reference.seconds),
        loris=loris(reference.loris_onsets_s, generated.loris_onsets_s, reference.seconds, generated.seconds),
        d2md=d2md(reference.d2md_beats_s, generated.d2md_beats_s),
        inversion=inversion(
            reference.loris_onsets_s,
            generated.loris_onsets_s,
            reference.seconds,
            reference.tempo_bpm,
            generated.tempo_bpm,
        ),
    )


def summarize_clips(clips: Sequence[ProtocolScores]) -> dict[str, dict[str, float]]:
    """All clips by protocol and column (`PROTOCOLS[name].columns`), as the papers report them; NaN where undefined."""
    return {
        "d2mgan": asdict(mean_coverage_and_hit([clip.d2mgan for clip in clips])),
        "loris": asdict(loris_summary([clip.loris for clip in clips])),
        "d2md": asdict(mean_coverage_and_hit([clip.d2md for clip in clips])),
        "inversion": asdict(inversion_mean([clip.inversion for clip in clips])),
    }
