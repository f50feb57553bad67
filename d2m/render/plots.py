"""Plots: a waveform with beats as inline SVG, and spectrograms side by side as PNG."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from d2m.core.errors import BadConfig
from d2m.core.files import atomic_write
from d2m.core.music import Music
from d2m.core.timeline import MOTION_FPS
from d2m.motion.dance import Dance
from d2m.render.skeleton import Stage
from d2m.video.reader import Frame

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


# Posters for a README: a few moments side by side as PNG, or a short loop as GIF; of a dance or of a film.


POSTER_SUFFIXES = (".png", ".gif")
_MOMENTS = 4
_GIF_SECONDS, _GIF_FPS, _GIF_COLOURS = 4.0, 12.5, 128
_HEIGHT = 360
_GAP, _GROUND = 6, (17, 18, 26)


def write_poster(
    pictures: Iterator[Frame],
    seconds: float | int,
    path: Path,
    height: int = _HEIGHT,
    drawn: Callable[[Frame], Frame] = lambda frame: frame,
) -> Path:
    """Write a PNG of four moments side by side, or a looping GIF of four seconds from the middle.

    Only the chosen pictures are kept in memory, at the poster's size.

    Args:
        pictures: of the whole clip, in order, each with its time.
        seconds: duration of the clip.
        path: ends in `.png` or `.gif`.
        height: of each picture, in pixels; larger ones are scaled down.
        drawn: what is done to the chosen pictures before that.

    Raises:
        BadConfig: for another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in POSTER_SUFFIXES:
        raise BadConfig(f"{path}: cannot write a '{suffix}' poster, expected {' or '.join(POSTER_SUFFIXES)}.")
    times_s = poster_times_s(seconds, suffix == ".gif")
    chosen = [_shrunk(drawn(frame).picture, height) for frame in _nearest(pictures, times_s)]
    with atomic_write(path) as temporary:
        if suffix == ".png":
            _side_by_side(chosen).save(temporary, optimize=True)
        else:
            _save_loop(chosen, temporary)
    return path


def poster_times_s(seconds: float | int, is_moving: bool) -> Float[np.ndarray, " moment"]:
    """The moments that a poster shows: four spread over the clip, or 12.5 a second for four seconds of its middle."""
    if not is_moving:
        return (np.arange(_MOMENTS) + 0.5) / _MOMENTS * seconds
    shown_s = min(_GIF_SECONDS, float(seconds))
    return (seconds - shown_s) / 2 + np.arange(max(1, int(shown_s * _GIF_FPS))) / _GIF_FPS


def dance_pictures(
    dance: Dance,
    title: str = "",
    beats_s: Float[np.ndarray, " beat"] | tuple[()] = (),
    size: tuple[int, int] = (480, 480),
    fps: float | int = _GIF_FPS,
) -> Iterator[Frame]:
    """The stick figure of a dance, one picture at a time."""
    stage = Stage(dance, size, title, beats_s)
    for number in range(max(1, int(dance.seconds * fps))):
        frame = min(round(number / fps * MOTION_FPS), len(dance.features) - 1)
        yield Frame(stage.draw(frame), number / fps)


def _nearest(pictures: Iterator[Frame], times_s: Float[np.ndarray, " moment"]) -> Iterator[Frame]:
    """The first picture at or after each moment (the last picture, where the clip ends before)."""
    waiting, last = list(times_s), None
    for picture in pictures:
        last = picture
        while waiting and picture.time_s >= waiting[0] - 1e-3:
            yield picture
            waiting.pop(0)
        if not waiting:
            return
    if last is None:
        raise BadConfig("a poster needs at least one picture, found none.")
    for _ in waiting:
        yield last


def _shrunk(
    picture: UInt8[np.ndarray, "height width 3"], height: int
) -> UInt8[np.ndarray, "small_height small_width 3"]:
    if picture.shape[0] <= height:
        return picture
    width = round(picture.shape[1] * height / picture.shape[0])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _side_by_side(pictures: list[UInt8[np.ndarray, "height width 3"]]) -> Image.Image:
    height, width = pictures[0].shape[:2]
    sheet = Image.new("RGB", (len(pictures) * (width + _GAP) - _GAP, height), _GROUND)
    for number, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture), (number * (width + _GAP), 0))
    return sheet


def _save_loop(pictures: list[UInt8[np.ndarray, "height width 3"]], path: Path) -> None:
    """One palette for all pictures, so that colours do not flicker."""
    images = [Image.fromarray(picture) for picture in pictures]
    palette = _side_by_side(pictures[:: max(1, len(pictures) // 8)]).quantize(_GIF_COLOURS)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=round(1000 / _GIF_FPS), loop=0, optimize=True
    )
