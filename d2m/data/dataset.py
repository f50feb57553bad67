"""One sequence with its music as latent, codec tokens or waveform, and the windows that training sees of it."""

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from d2m.core.aist_names import genre_index, parse_sequence_name
from d2m.core.errors import BadConfig, BadInput, UserError
from d2m.core.lead_sheet import LeadSheet
from d2m.core.music import Music
from d2m.core.timeline import MOTION_FPS, PICTURE_FPS, Timeline
from d2m.data.encode import rhythm_curves
from d2m.data.layout import DataSetLayout, load_array, load_features, load_landmarks, load_latent, load_pictures
from d2m.data.manifest import TokenManifest
from d2m.models.heads import UNKNOWN_GENRE

Row = dict[str, Tensor | str]
"""One window: `features` [time 219] at 60 fps; the music under its kind, `latent` [channel frame], `codes` [codebook frame]
or `waveform` [1 sample] in [-1, 1]; `genre`; `name`; `start_s`; where there are any, `rhythm` [2 frame] in [0, 1] (see
`d2m.data.encode`), `sheet` [25 frame] (`d2m.core.lead_sheet`), `landmarks` [time 33 3], and small grey video frames `frames` [picture height width] in [0, 1]."""

_ATTEMPTS = 4
_FULL_SCALE = 32767


@dataclass(frozen=True)
class Clip:
    """One whole sequence, in memory or memory-mapped.

    Args:
        name: of the sequence.
        features: motion, see `d2m.motion.features`.
        music: what `kind` says.
        rhythm: beat activation and onset envelope in [0, 1], per frame of the music or of the grid's own rate; or None.
        genre: class number, 10 where unknown.
        kind: `latent`, `codes`, or `waveform` (16-bit).
        pictures: small grey video frames at 15 fps, or None.
        landmarks: see `d2m.video.modality`, or None.
        sheet: key, chords and energy at each frame of the latent, or None.
    """

    name: str
    features: Float[np.ndarray, "time 219"]
    music: Shaped[np.ndarray, "channel frame"]
    rhythm: Float[np.ndarray, "2 rhythm_frame"] | None
    genre: int
    kind: str = "latent"
    pictures: UInt8[np.ndarray, "picture height width"] | None = None
    landmarks: Float[np.ndarray, "time 33 3"] | None = None
    sheet: Float[np.ndarray, "25 frame"] | None = None

    def window(self, start_s: float, motion: slice, music: slice, rhythm: slice, pictures: slice) -> Row:
        """The window of these frames, copied out of the sequence."""
        row: Row = {
            "features": _floats(self.features[motion]),
            self.kind: self._music(music),
            "genre": torch.tensor(self.genre),
            "name": self.name,
            "start_s": torch.tensor(start_s, dtype=torch.float32),
        }
        if self.rhythm is not None:
            row["rhythm"] = _floats(self.rhythm[:, rhythm])
        if self.sheet is not None:
            row["sheet"] = _floats(self.sheet[:, music])
        if self.pictures is not None:
            row["frames"] = _floats(self.pictures[pictures]) / 255
        if self.landmarks is not None:
            row["landmarks"] = _floats(self.landmarks[motion])
        return row

    def _music(self, frames: slice) -> Tensor:
        if self.kind == "codes":
            return torch.from_numpy(np.array(self.music[:, frames], np.int64))
        music = _floats(self.music[:, frames])
        return music / _FULL_SCALE if self.kind == "waveform" else music


def _floats(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


@runtime_checkable
class Grid(Protocol):
    """How long a window is, and where one may start: at steps number 0 to `last_start`."""

    @property
    def seconds(self) -> float | int:
        """Length of a window."""
        ...

    def last_start(self, clip: Clip) -> int:
        """Largest step at which a window may start; negative where the sequence is shorter than one."""
        ...

    def cut(self, clip: Clip, start: int) -> Row:
        """The window that starts at a step."""
        ...


@dataclass(frozen=True)
class LatentGrid:
    """Windows of latents or codec tokens start with any latent frame, and with the motion frame nearest to it.

    Args:
        clock: of the autoencoder or the codec.
    """

    clock: Timeline

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.clock.window_seconds

    def last_start(self, clip: Clip) -> int:
        """Largest latent frame at which a window may start; both music and motion must reach the window's end."""
        spare = len(clip.features) - self.clock.window_motion_frames
        by_motion = int(spare / MOTION_FPS * self.clock.latent_rate) if spare >= 0 else -1
        return min(clip.music.shape[1] - self.clock.window_latent_frames, by_motion)

    def cut(self, clip: Clip, start: int) -> Row:
        """The window that starts with latent frame `start`."""
        length = self.clock.window_motion_frames
        motion = min(self.clock.latent_frames_to_motion_frames(start), len(clip.features) - length)
        frames = slice(start, start + self.clock.window_latent_frames)
        start_s = self.clock.latent_frames_to_seconds(start)
        return clip.window(start_s, slice(motion, motion + length), frames, frames, slice(0))


@dataclass(frozen=True)
class WaveformGrid:
    """Windows of waveform start where a motion frame, a rhythm frame and a sample start together (every 0.1 s at 50 rhythm
    frames a second; with pictures, at their frames too), so that nothing is ever rounded.

    Args:
        sample_rate: of the waveform; a whole multiple of `rhythm_rate`.
        rhythm_rate: rhythm frames a second.
        seconds: length of a window; a whole number of steps of the grid.
        pictures: whether windows bring small video frames.
        landmarks: whether they bring landmarks.

    Raises:
        BadConfig: when the numbers do not fit each other.
    """

    sample_rate: int
    rhythm_rate: int
    seconds: float | int
    pictures: bool = False
    landmarks: bool = False

    def __post_init__(self) -> None:
        if self.rhythm_rate < 1 or self.sample_rate % self.rhythm_rate:
            raise BadConfig(
                f"rhythm_rate={self.rhythm_rate}: {self.sample_rate} Hz is no whole multiple of it; choose a divisor."
            )
        steps = self.seconds * self.steps_per_second
        if round(steps) < 1 or abs(steps - round(steps)) > 1e-6:
            raise BadConfig(
                f"window_seconds={self.seconds}: expected a multiple of {1 / self.steps_per_second:g} s, where frames of "
                "motion, rhythm and sound start together."
            )

    @property
    def steps_per_second(self) -> int:
        """Places a second at which a window may start."""
        rates = gcd(MOTION_FPS, self.rhythm_rate)
        return gcd(rates, PICTURE_FPS) if self.pictures else rates

    @property
    def steps(self) -> int:
        """Steps of the grid in a window."""
        return round(self.seconds * self.steps_per_second)

    def last_start(self, clip: Clip) -> int:
        """Largest step at which a window may start; negative where the sequence is shorter than one."""
        lengths = [(len(clip.features), MOTION_FPS), (clip.music.shape[1], self.sample_rate)]
        if clip.pictures is not None:
            lengths.append((len(clip.pictures), PICTURE_FPS))
        return min(count * self.steps_per_second // rate for count, rate in lengths) - self.steps

    def cut(self, clip: Clip, start: int) -> Row:
        """The window that starts at step `start`."""

        def span(rate: int) -> slice:
            first, count = (steps * rate // self.steps_per_second for steps in (start, self.steps))
            return slice(first, first + count)

        rates = (MOTION_FPS, self.sample_rate, self.rhythm_rate, PICTURE_FPS)
        return clip.window(start / self.steps_per_second, *(span(rate) for rate in rates))


@runtime_checkable
class Clips(Protocol):
    """Clips in a row: a list of them, or `MappedClips`.

    Not a `Sequence`: run-time checkers of annotations open an item of every sequence they meet.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Clip: ...

    def __iter__(self) -> Iterator[Clip]: ...


@dataclass(frozen=True)
class MappedClips:
    """Clips that are read whenever they are asked for; nothing stays open, so worker processes may share them.

    Args:
        names: of the sequences.
        load: reads the sequence of a name, with memory-mapped arrays.
    """

    names: list[str]
    load: Callable[[str], Clip]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Clip]:
        return map(self.load, self.names)

    def __getitem__(self, place: int, /) -> Clip:
        """A clip.

        Raises:
            BadInput: when its files are missing or damaged.
        """
        return self.load(self.names[place])

    def some_features(self, count: int = 2000) -> list[np.ndarray]:
        """Motion features [time 219] of at most `count` clips, evenly spread, mapped; damaged ones are passed over."""
        features = []
        for place in np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(int)).tolist():
            try:
                features.append(self[place].features)
            except BadInput:
                continue
        return features


class ClipWindows(Dataset):
    """Windows of clips.

    Args:
        clips: sequences, each at least a window long.
        grid: where windows start, and how long they are.
        length: windows per epoch, each from a random sequence; None: one at the start of every sequence.
        seed: of the random places; window number n of a seed is always the same one, so that a resumed run goes on exactly.
        random_start: start a random window anywhere in its sequence; False: at its start, as the published system does.
    """

    def __init__(
        self, clips: Clips, grid: Grid, length: int | None = None, seed: int = 0, random_start: bool = True
    ) -> None:
        self.clips, self.grid, self.length, self.seed, self.random_start = clips, grid, length, seed, random_start

    def __len__(self) -> int:
        return self.length or len(self.clips)

    def __getitem__(self, index: int) -> Row:
        """Window number `index`, which may lie past the epoch's length.

        A sequence whose files have been damaged since the start is warned of, and another one takes its place.

        Raises:
            BadInput: for a damaged sequence that nothing replaces.
        """
        if self.length is None:
            return self.grid.cut(self.clips[index], 0)
        rng = np.random.default_rng((self.seed, index))
        for attempt in range(_ATTEMPTS):
            try:
                clip = self.clips[int(rng.integers(len(self.clips)))]
                if (last := self.grid.last_start(clip)) < 0:
                    raise BadInput(f"'{clip.name}': is shorter than a window now; start the training again.")
                return self.grid.cut(clip, int(rng.integers(last + 1)) if self.random_start else 0)
            except BadInput as error:
                if attempt == _ATTEMPTS - 1:
                    raise
                warnings.warn(f"left out: {error}", stacklevel=2)
        raise AssertionError("the last attempt returns or raises")


def _genre(name: str) -> int:
    parts = parse_sequence_name(name)
    return UNKNOWN_GENRE if parts is None else genre_index(parts.genre)


def load_clip(
    layout: DataSetLayout, name: str, dmae: str, mapped: bool = False, sheet_rate: float | None = None
) -> Clip:
    """A sequence with the latent of its music.

    Args:
        layout: of the data set.
        name: of the sequence.
        dmae: name that the latents are filed under.
        mapped: memory-map the arrays, as they are on disk; else they are in memory in float32.
        sheet_rate: latent frames a second, to bring the lead sheet along; None: it is not wanted.

    Raises:
        BadInput: when its latent is missing or is not one, or its lead sheet is.
    """
    latent, features = load_latent(layout, name, dmae, mapped=mapped), load_features(layout, name, mapped)
    rhythm = _load_rhythm(layout, name, f"dmae={dmae}", latent.shape[1], mapped)
    if not mapped:
        latent, features = latent.astype(np.float32), features.astype(np.float32)
    sheet = None if sheet_rate is None else LeadSheet.load(layout.score(name)).curves(latent.shape[1], sheet_rate)
    return Clip(name, features, latent, rhythm, _genre(name), sheet=sheet)


def load_token_clip(
    layout: DataSetLayout, name: str, codec: str, manifest: TokenManifest, landmarks: bool = False
) -> Clip:
    """A sequence with the codec tokens of its music; its motion is memory-mapped.

    Args:
        layout: of the data set.
        name: of the sequence.
        codec: name that the tokens are filed under.
        manifest: of the tokens.
        landmarks: whether to bring the landmarks, too.

    Raises:
        BadInput: when its tokens are missing or are not this codec's.
    """
    path, facts, again = layout.tokens(name, codec), manifest.codec, f"run scripts/encode.py codec={codec}"
    codes = load_array(path, f"tokens of codec '{codec}'", (facts.codebooks, "frame"), np.signedinteger, again)
    if codes.size and not 0 <= codes.min() <= codes.max() < facts.codebook_size:
        raise BadInput(
            f"{path}: found codes from {codes.min()} to {codes.max()}, but codec '{codec}' has {facts.codebook_size} entries; "
            f"these are another codec's, delete them and {again} again."
        )
    rhythm = _load_rhythm(layout, name, f"codec={codec}", codes.shape[1])
    features = load_features(layout, name, mapped=True)
    body = load_landmarks(layout, name, features) if landmarks else None
    return Clip(name, features, codes, rhythm, _genre(name), "codes", landmarks=body)


def _load_rhythm(
    layout: DataSetLayout, name: str, coder: str, frames: int, mapped: bool = False
) -> Float[np.ndarray, "2 frame"] | None:
    path, again = layout.rhythm(name, coder.partition("=")[2]), f"run scripts/encode.py {coder}"
    return load_array(path, "rhythm curves", (2, frames), np.floating, again, mapped) if path.exists() else None


def load_waveform_clip(layout: DataSetLayout, name: str, grid: WaveformGrid) -> Clip:
    """A sequence with its music resampled to mono at the grid's rate.

    Raises:
        BadInput: when its sound, motion, beats or pictures are missing or damaged.
    """
    wav = layout.wav(name)
    if not wav.exists():
        raise BadInput(f"{wav}: not found, expected the music of '{name}'; prepare the data set again.")
    music = Music.load(wav).mono().resampled(grid.sample_rate)
    features = load_features(layout, name).astype(np.float32)
    hop = grid.sample_rate // grid.rhythm_rate
    frames = music.waveform.shape[1] // hop + 1  # the last one may be cut off by the music's end
    rhythm = rhythm_curves(layout, name, music, frames, Timeline(grid.sample_rate, hop)).astype(np.float32)
    samples = np.clip(music.waveform * _FULL_SCALE, -_FULL_SCALE, _FULL_SCALE).round().astype(np.int16)
    pictures = load_pictures(layout, name) if grid.pictures else None
    landmarks = load_landmarks(layout, name, features) if grid.landmarks else None
    return Clip(name, features, samples, rhythm, _genre(name), "waveform", pictures, landmarks)


@dataclass(frozen=True)
class Split:
    """The sequences of a split that can be used.

    Args:
        clips: those at least one window long.
        left_out: one sentence on those that cannot be used; empty where all can.
    """

    clips: Clips
    left_out: str


def load_split(
    layout: DataSetLayout,
    split: str,
    grid: Grid,
    load: Callable[[str], Clip],
    coder: str | None = None,
    in_memory: bool = True,
) -> Split:
    """All sequences of a split that can be read; the others are left out and said.

    Args:
        layout: of the data set.
        split: its name.
        grid: of the windows.
        load: reads the sequence of a name.
        coder: `dmae=NAME` or `codec=NAME`, whose rhythm curves either all sequences have or none.
        in_memory: keep the clips; False: `load` them whenever they are asked for.

    Raises:
        BadInput: when none can be used, or only some have rhythm curves.
    """
    names, usable, clips, without, failed, short = layout.names(split), [], [], [], [], 0
    for name in tqdm(names, desc=f"reading split '{split}'", disable=len(names) < 50):
        try:
            clip = load(name)
        except UserError as error:
            failed.append(str(error))
            continue
        if grid.last_start(clip) < 0:
            short += 1
            continue
        usable.append(name)
        without += [name] if clip.rhythm is None else []
        clips += [clip] if in_memory else []
    seconds = f"{round(grid.seconds, 2):g}"
    if not usable:
        raise BadInput(
            failed[0] if failed else f"{layout.root}: found no sequence of at least {seconds} s; use longer dances."
        )
    if coder and 0 < len(without) < len(usable):
        raise BadInput(
            f"{layout.rhythm(without[0], coder.partition('=')[2])}: not found, but other sequences have their rhythm "
            f"curves; run scripts/encode.py {coder} again."
        )
    parts = [f"{short} shorter than {seconds} s"] if short else []
    parts += [f"{len(failed)} not readable (first: {failed[0]})"] if failed else []
    count = f"split '{split}': {short + len(failed)} of {len(names)} sequences left out: {', '.join(parts)}"
    return Split(clips if in_memory else MappedClips(usable, load), count if parts else "")


@rank_zero_only
def say_left_out(sentence: str) -> None:
    """Print what is left out of training, by one process; not as logging, which the scripts turn off."""
    print(f"note: {sentence}", file=sys.stderr)
