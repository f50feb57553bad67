"""Plots: a waveform with beats as inline SVG, and spectrograms side by side as PNG."""

import io
from collections.abc import Callable, Iterator
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


def envelope(music: Music, columns: int) -> Float[np.ndarray, " column"]:
    """Largest magnitude of the mono mix in each of `columns` equal parts."""
    samples = np.abs(music.mono().waveform[0])
    edges = np.linspace(0, len(samples), columns + 1).astype(int)
    return np.array([samples[a:b].max(initial=0) for a, b in pairwise(edges)])


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
