"""Sound and films inside the report: compressed into the page as far as they fit, linked beyond that."""

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np

from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.evaluation.report.sections import breakable

AUDIO_BUDGET_BYTES = 8_000_000
"""All clips' sound together stays about below this in the page, by a lower bit rate where there are many."""
VIDEO_BUDGET_BYTES = 6_000_000
"""Videos beyond this, in the order given, are linked and not put into the page."""

_BIT_RATES = (96_000, 64_000, 48_000, 32_000)
_OPUS_RATE = 48_000
_BASE64 = 4 / 3


def bit_rate_for(seconds: float | int) -> int:
    """The best of the usual bit rates at which that much sound fits into the page as base64, else the lowest."""
    fitting = (rate for rate in _BIT_RATES if seconds * rate / 8 * _BASE64 <= AUDIO_BUDGET_BYTES)
    return next(fitting, _BIT_RATES[-1])


def encode_opus(music: Music, bit_rate: int) -> bytes:
    """The content of an Ogg Opus file, which plays in time: its header says how many samples to skip.

    Args:
        music: one or two channels are kept.
        bit_rate: bits per second, on average.
    """
    wave = np.clip(music.resampled(_OPUS_RATE).waveform[:2], -1, 1).astype(np.float32)
    layout = "mono" if len(wave) == 1 else "stereo"
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=_OPUS_RATE, layout=layout)
        stream.bit_rate = bit_rate
        interleaved = np.ascontiguousarray(wave.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        frame.sample_rate, frame.pts = _OPUS_RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """The content as an address that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def relative_link(path: Path, out: Path) -> str:
    """Address of a file relative to the folder of the page, as it is written in HTML."""
    return html.escape(quote(Path(os.path.relpath(path, out)).as_posix()))


@dataclass
class Sounds:
    """Gives each clip's sound an address, inside the page until the budget is used up.

    Args:
        out: folder of the page.
        bit_rate: of the sound inside the page.
        left_bytes: what may still be put into the page.
    """

    out: Path
    bit_rate: int
    left_bytes: int = AUDIO_BUDGET_BYTES
    linked: int = 0

    @staticmethod
    def of(clips: Sequence[Mapping[str, object]], out: Path) -> "Sounds":
        """With the bit rate at which all clips fit, as far as one of the usual ones does."""
        lengths = [clip.get("seconds") for clip in clips]
        seconds = sum(float(length) if isinstance(length, int | float) else 10.0 for length in lengths)
        return Sounds(out, bit_rate_for(seconds))

    def address(self, music: Music, path: Path) -> str:
        """Data address of the compressed sound, or a relative link to the file."""
        expected = music.seconds * self.bit_rate / 8 * _BASE64
        if expected <= self.left_bytes:
            address = data_uri(encode_opus(music, self.bit_rate), "audio/ogg")
            self.left_bytes -= len(address)
            return address
        self.linked += 1
        return relative_link(path, self.out)


def films(videos: Mapping[str, Path], out: Path) -> str:
    """Players of the videos; those beyond the budget are linked relative to `out`, unreadable ones left out."""
    figures, left = [], VIDEO_BUDGET_BYTES
    for name, path in videos.items():
        try:
            size = path.stat().st_size
            inside = size <= left
            source = data_uri(path.read_bytes(), "video/mp4") if inside else relative_link(path, out)
        except OSError:
            continue
        left -= size if inside else 0
        player = f'<video controls preload="metadata" playsinline src="{source}"></video>'
        figures.append(f"<figure>{player}<figcaption>{breakable(name)}</figcaption></figure>")
    return f'<h2>Dances with their generated music</h2><div class="films">{"".join(figures)}</div>' if figures else ""


def readable(path: Path | None) -> Music | str:
    """The sound, or a sentence why there is none."""
    if path is None:
        return "No sound file was given for this clip."
    try:
        return Music.load(path)
    except BadInput as error:
        return str(error)
