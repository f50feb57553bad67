"""Plots: a waveform with beats as inline SVG, and spectrograms side by side as PNG."""

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise

import librosa
import numpy as np
from jaxtyping import Float

from d2m.music import Music

_COLOURS = {
    "reference": "var(--reference, #23875c)",
    "generated": "var(--generated, #d9601a)",
    "kinematic": "var(--kinematic, #6470d6)",
}
_WORDS = {
    "reference": "reference beats",
    "generated": "beats heard in the generated music",
    "kinematic": "kinematic beats of the dance",
}
_EDGE = 14
"""Height of the bands above and below the wave, where reference and kinematic beats have their marks."""


def envelope(music: Music, columns: int) -> Float[np.ndarray, " column"]:
    """Largest magnitude of the mono mix in each of `columns` equal parts."""
    samples = np.abs(music.mono().waveform[0])
    edges = np.linspace(0, len(samples), columns + 1).astype(int)
    return np.array([samples[a:b].max(initial=0) for a, b in pairwise(edges)])


def waveform_with_beats(
    music: Music,
    beats_s: Mapping[str, Sequence[float | int]],
    width: int = 440,
    height: int = 104,
    columns: int = 220,
) -> str:
    """Inline SVG of a waveform's envelope with up to three kinds of beats, each with a mark of its own.

    The page may colour it through the variables `--wave`, `--reference`, `--generated`, `--kinematic` and `--soft`.

    Args:
        music: what is drawn.
        beats_s: times by kind: `reference` (triangles above), `generated` (lines through the wave), `kinematic`
            (diamonds below). Times past the end of the music are left out.
        width, height: of the drawing, in its own units; it scales to the page.
        columns: resolution of the envelope.
    """
    shown = {kind: [width * t / music.seconds for t in times if t <= music.seconds] for kind, times in beats_s.items()}
    marks = [
        f'<path d="{"".join(_mark(kind, x, height) for x in xs)}" {_style(kind)}><title>{_WORDS[kind]}</title></path>'
        for kind, xs in shown.items()
        if xs
    ]
    ticks = "".join(
        f'<text x="{width * second / music.seconds + 3:.0f}" y="{height - 1}" font-size="9" fill="var(--soft, #777)">'
        f"{second} s</text>"
        for second in range(0, int(music.seconds) + 1, _tick_seconds(music.seconds))
        if width * second / music.seconds < width - 16
    )
    return (
        f'<svg class="waveform" viewBox="0 0 {width} {height}" role="img" aria-label="waveform with beats">'
        f'<path d="{_wave_path(music, width, height, columns)}" fill="var(--wave, #c3c7d2)"/>{"".join(marks)}{ticks}</svg>'
    )


def _wave_path(music: Music, width: int, height: int, columns: int) -> str:
    levels = envelope(music, columns)
    top, bottom = _EDGE + 2, height - _EDGE - 12
    middle, scale = (top + bottom) / 2, (bottom - top) / 2 / max(float(levels.max(initial=0)), 1e-6)
    xs = (np.arange(columns) + 0.5) * width / columns
    there = [f"{x:.0f} {middle - max(level * scale, 0.5):.1f}" for x, level in zip(xs, levels, strict=True)]
    back = [f"{x:.0f} {middle + max(level * scale, 0.5):.1f}" for x, level in zip(xs, levels, strict=True)]
    return "M" + "L".join(there + back[::-1]) + "Z"


def _mark(kind: str, x: float | int, height: int) -> str:
    """Path of one beat at column `x`."""
    if kind == "reference":
        return f"M{x - 4:.1f} 4h8l-4 8z"
    if kind == "generated":
        return f"M{x - 0.8:.1f} {_EDGE}h1.6V{height - _EDGE - 10}h-1.6z"
    return f"M{x:.1f} {height - _EDGE - 10}l4 5l-4 5l-4 -5z"


def _style(kind: str) -> str:
    return f'fill="{_COLOURS[kind]}"'


def _tick_seconds(seconds: float | int) -> int:
    """Whole seconds between two labels of the time axis: at most eight labels."""
    return next((step for step in (1, 2, 5, 10, 30) if seconds / step <= 8), 60)


def beat_legend() -> str:
    """HTML that says which mark is which kind of beat."""
    return " ".join(
        f'<span class="mark"><svg viewBox="-6 0 12 16" width="12" height="16">'
        f'<path d="{_mark(kind, 0, 29)}" {_style(kind)}/></svg> {words}</span>'
        for kind, words in _WORDS.items()
    )


def spectrogram_pair(first: Music, second: Music, titles: tuple[str, str] = ("original", "round trip")) -> bytes:
    """PNG of two log-mel spectrograms side by side on one colour scale (dB below the louder one's peak)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyright: ignore[reportMissingImports]
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    mels = []
    for music in (first, second):
        samples = music.mono().waveform[0]
        mel = librosa.feature.melspectrogram(y=samples, sr=music.sample_rate, n_fft=2048, hop_length=256, n_mels=128)
        mels.append(librosa.power_to_db(mel, ref=1.0))
    peak = max(float(mel.max()) for mel in mels)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, mel, music, title in zip(axes, mels, (first, second), titles, strict=True):
        picture = axis.imshow(
            mel, origin="lower", aspect="auto", vmin=peak - 70, vmax=peak, cmap="magma",
            extent=(0, music.seconds, 0, mel.shape[0]),
        )  # fmt: skip
        axis.set(title=title, xlabel="seconds")
    bands = librosa.mel_frequencies(128, fmax=first.sample_rate / 2)
    ticks = [np.argmin(np.abs(bands - hz)) for hz in (60, 250, 1000, 4000, 8000)]
    axes[0].set_yticks(ticks, ["60 Hz", "250", "1 k", "4 k", "8 k"])
    figure.colorbar(picture, ax=axes, label="dB")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
