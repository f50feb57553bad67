"""A dance that goes on now, and the music for it: frames in, sound out, all on the dance's own clock.

state, sound = live.step(state, frames)     # the sound up to the last frame; no camera, sound card or clock is needed

Music is made some time before it is heard, on the beats that are predicted for then; so a beat that was predicted right sounds
on time. What answers at once is loudness and brightness: they follow how much the body moves, in the sound itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.signal import lfilter

from d2m.core.aist_names import GENRES
from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS
from d2m.live.blocks import BlockGenerator, MusicSoFar
from d2m.motion.keypoints import BODY_HEIGHT_M
from d2m.rhythm.causal_reader import CausalRhythmReader, ReaderState
from d2m.rhythm.following import BEGINS, BeatFollower, CommittedBeats, Following, Prediction

LEAD_S = 0.35
"""So long before it is heard a block is begun: time to make it, and the player's buffer."""

_MARGIN = 1.25
"""Times what a block takes it is begun ahead, where that is more than the lead."""

_LATE_S = 0.1
"""By which a block may be expected to be late and is still begun for its own time: what is overdue of it is left out."""

_STILL, _LIVELY = 0.12, 0.5
"""Mean speed of the body's points in body heights a second: below the first nobody dances, from the second on music is full."""

_STANDING = np.concatenate([np.zeros(3), np.tile(np.eye(3).ravel(), 24)])[None].astype(np.float32)
"""What a generator is shown where only points of the body are known."""

_FADE = 128
"""Samples over which sound ends that was not made in time."""

_ATTACK_S, _RELEASE_S, _DARK_HZ, _BRIGHT_HZ = 0.05, 0.5, 500.0, 10_000.0


@dataclass(frozen=True)
class LiveFrame:
    """What was seen at a moment.

    Args:
        time_s: on the dance's clock.
        points: `d2m.motion.keypoints.POINTS`, to the right and up, in any unit; None: nobody was seen.
        features: the motion's, where it is known: a generator reads the body's detail there.
    """

    time_s: float
    points: Float[np.ndarray, "13 2"] | None
    features: Float[np.ndarray, " 219"] | None = None


@dataclass(frozen=True)
class LiveState:
    """All that is remembered between frames: what `watch` sees, what `make_block` makes, and what `play` has given.

    Args:
        last: the last frame in which somebody was seen.
        seen: frames of motion at 60 fps so far; the odd one that waits for its pair.
        features: of the last seconds at 60 fps.
        reader, following: of the beats.
        beats: committed so far; None before the first lock.
        music: made so far; sound: that waits to be heard, its first sample at `heard_s`; made_s: its end.
        movement: mean speed of the points, in body heights a second; level: of the sound; dark: its last sample before the level.
        missed: samples that were not made in time.
        genre: number of the genre that the last block was made in; read_genre: what was read when music began without one.
        is_seen: whether somebody was in the last frame.
    """

    last: LiveFrame | None = None
    seen: int = 0
    waiting: Float[np.ndarray, "waiting 13 2"] = field(default_factory=lambda: np.zeros((0, 13, 2)))
    features: Float[np.ndarray, "time 219"] = field(default_factory=lambda: np.zeros((0, 219), np.float32))
    reader: ReaderState | None = None
    following: Following | None = None
    prediction: Prediction | None = None
    beats: CommittedBeats | None = None
    music: MusicSoFar | None = None
    sound: Float[np.ndarray, "_ sample"] = field(default_factory=lambda: np.zeros((1, 0), np.float32))
    heard: int = 0
    made_s: float = 0.0
    movement: float = 0.0
    level: float = 0.0
    dark: Float[np.ndarray, "_ 1"] | None = None
    missed: int = 0
    genre: int | None = None
    read_genre: int | None = None
    is_seen: bool = False


_WATCHED = (
    "last", "seen", "waiting", "features", "reader", "following", "prediction", "movement", "is_seen",
)  # fmt: skip
"""Parts of the state that change by seeing."""


class Live:
    """Follows a dance and makes its music.

    Args:
        generator: of blocks.
        reader: of beats, causal.
        genre: code such as `gHO`; None: as read when music begins.
        tempo_bpm: where it is known.
        shift_beats: all beats so much later than they are read.
        lead_s: how long before it is heard a block is begun.

    Raises:
        BadConfig: for an unknown genre, or a tempo that is not followed.
    """

    def __init__(
        self,
        generator: BlockGenerator,
        reader: CausalRhythmReader,
        genre: str | None = None,
        tempo_bpm: float | int | None = None,
        shift_beats: float | int = 0,
        lead_s: float | int = LEAD_S,
    ) -> None:
        self.generator, self.reader, self.lead_s = generator, reader.eval(), float(lead_s)
        self.choose_genre(genre)
        self.shift_beats = float(shift_beats)
        self.follower = BeatFollower(tempo_bpm=tempo_bpm)
        self.sample_rate = generator.clock.sample_rate

    def choose_genre(self, genre: str | None) -> None:
        """Of the blocks to come, also while music is made; None: as read when music began.

        Raises:
            BadConfig: for an unknown genre.
        """
        if genre is not None and genre not in GENRES:
            raise BadConfig(f"genre={genre}: unknown; expected one of {', '.join(GENRES)}, or none to have it read.")
        self.genre = None if genre is None else GENRES.index(genre)

    def begin(self) -> LiveState:
        """Before the first frame; the dance's clock is at 0."""
        silence = np.zeros((self.generator.dmae.in_channels, 0), np.float32)
        return LiveState(following=self.follower.begin(), music=self.generator.begin(), sound=silence, genre=self.genre)

    def step(
        self, state: LiveState, frames: Sequence[LiveFrame]
    ) -> tuple[LiveState, Float[np.ndarray, "audio sample"]]:
        """See some frames, make what will soon be heard, and give the sound up to the last frame's time."""
        state = self.watch(state, frames)
        now_s = frames[-1].time_s if frames else state.heard / self.sample_rate
        while state.made_s < now_s + self.lead_s:
            state = self.make_block(state, now_s)
        return self.play(state, round(now_s * self.sample_rate) - state.heard)

    def watch(self, state: LiveState, frames: Sequence[LiveFrame]) -> LiveState:
        """See some frames: movement, beats and tempo as they are believed afterwards."""
        for frame in frames:
            state = self._seen(state, frame)
        return state

    @staticmethod
    def with_watched(state: LiveState, watched: LiveState) -> LiveState:
        """A later state with what was seen meanwhile."""
        return replace(state, **{name: getattr(watched, name) for name in _WATCHED})

    def _seen(self, state: LiveState, frame: LiveFrame) -> LiveState:
        count = int(np.floor(frame.time_s * MOTION_FPS + 1e-6)) + 1 - state.seen
        if count <= 0:
            return state
        last, state = state.last, replace(state, is_seen=frame.points is not None)
        if frame.points is None:
            if last is None or last.points is None:
                return replace(state, seen=state.seen + count)  # nobody yet: nothing to read
            frame = LiveFrame(frame.time_s, last.points, last.features)  # held: whoever left stands still
        assert frame.points is not None
        before = frame if last is None or last.points is None else last
        assert before.points is not None
        moments_s = (state.seen + np.arange(count)) / MOTION_FPS
        span_s = max(frame.time_s - before.time_s, 1e-6)
        share = np.clip((moments_s - before.time_s) / span_s, 0, 1)[:, None, None]
        points = np.concatenate([state.waiting, before.points * (1 - share) + frame.points * share])
        even = len(points) // 2 * 2
        reader, following, movement = state.reader, state.following, state.movement
        if even:
            logits, reader = self._read(points[:even], reader)
            assert following is not None and reader.channels is not None
            following = self._follow(following, logits)
            near = 1 - np.exp(-even / MOTION_FPS / 0.1)
            movement += near * (float(reader.channels.speed.mean()) / BODY_HEIGHT_M - movement)
        features = state.features
        if frame.features is not None:
            new = np.repeat(frame.features[None], count, axis=0)
            features = np.concatenate([features, new])[-self.generator.clock.window_motion_frames :]
        assert following is not None
        return replace(
            state,
            last=frame,
            seen=state.seen + count,
            waiting=points[even:],
            features=features,
            reader=reader,
            following=following,
            prediction=self.follower.predict(following, self.reader.delay_s),
            movement=movement,
        )

    def _read(
        self, points: Float[np.ndarray, "frame 13 2"], state: ReaderState | None
    ) -> tuple[Float[np.ndarray, " half"], ReaderState]:
        with torch.no_grad():
            logits, state = self.reader.step(torch.from_numpy(points[None]), state)
        return logits[0].numpy(), state

    def _follow(self, following: Following, logits: Float[np.ndarray, " half"]) -> Following:
        for logit in logits:
            following = self.follower.step(following, float(logit))
        return following

    def due(self, state: LiveState, now_s: float, took_s: Collection[float]) -> LiveState | None:
        """In real time: what `make_block` is to be given now; None while enough is made ahead.

        Where music has fallen behind, that is begun for when it can be ready.

        Args:
            state: so far.
            now_s: on the dance's clock.
            took_s: what the last blocks took.
        """
        heard_s = max(now_s, state.heard / self.sample_rate)
        if state.made_s > heard_s + max(self.lead_s, _MARGIN * max(took_s, default=0.0)):
            return None
        ready_s = heard_s + sum(took_s) / max(1, len(took_s))
        return replace(state, made_s=ready_s) if state.made_s < ready_s - _LATE_S else state

    def make_block(self, state: LiveState, now_s: float) -> LiveState:
        """The next block: music on the predicted beats, or silence before there are any."""
        generator, prediction, beats = self.generator, state.prediction, state.beats
        if beats is None and prediction is not None and prediction.confidence > BEGINS:
            beats = CommittedBeats.around(prediction)
        if beats is None or prediction is None or state.music is None:
            silence = np.zeros((generator.dmae.in_channels, generator.samples), np.float32)
            return self._with_sound(state, silence)
        from_s, until_s = (state.made_s + edge for edge in generator.window_s)
        later_s = self.shift_beats * prediction.period_s
        prediction = replace(prediction, next_s=prediction.next_s + later_s)
        beats = beats.until(state.made_s + generator.seconds, prediction)
        planned = beats.until(until_s + prediction.period_s, prediction)  # beyond the block nothing is decided yet
        genre, read_genre = self.genre, state.read_genre  # the first may change at any moment
        if genre is None:
            genre = read_genre = self._genre(state) if read_genre is None else read_genre
        seen = max(1, round((now_s - from_s) * MOTION_FPS))
        known = (state.features if len(state.features) else _STANDING)[-seen:]
        features = np.concatenate(
            [known[:1].repeat(seen - len(known), axis=0), known]
        )  # before, the body stood as it began
        music, sound = generator.next(state.music, features, planned.grid(from_s, until_s - from_s), genre)
        state = replace(state, beats=beats, music=music, genre=genre, read_genre=read_genre)
        return self._with_sound(state, sound.astype(np.float32))

    def _genre(self, state: LiveState) -> int:
        assert state.reader is not None and state.reader.genre_logits is not None
        return int(state.reader.genre_logits[0].argmax())

    def _with_sound(self, state: LiveState, sound: Float[np.ndarray, "audio sample"]) -> LiveState:
        made_s = state.made_s + sound.shape[1] / self.sample_rate
        return replace(state, sound=np.concatenate([state.sound, sound], axis=1), made_s=made_s)

    def with_block(self, state: LiveState, begun: LiveState, made: LiveState) -> LiveState:
        """What was made of an earlier state, at its place in the sound of a later one: what is overdue is left out.

        Args:
            state: now.
            begun: that `make_block` was given, perhaps with a later `made_s`, to which the sound is silent then.
            made: what it gave.
        """
        sound = made.sound[:, begun.sound.shape[1] :]
        later = round((begun.made_s - state.made_s) * self.sample_rate)
        if later:
            sound = sound[:, max(0, -later) :]
            fade = min(sound.shape[1], _FADE)
            sound = np.concatenate(
                [sound[:, :fade] * np.linspace(0, 1, fade, dtype=np.float32), sound[:, fade:]], axis=1
            )
            sound = np.pad(sound, ((0, 0), (max(0, later), 0)))
            state = replace(state, missed=state.missed + max(0, later))
        state = replace(state, beats=made.beats, music=made.music, genre=made.genre, read_genre=made.read_genre)
        return self._with_sound(state, sound)

    def play(self, state: LiveState, samples: int) -> tuple[LiveState, Float[np.ndarray, "audio sample"]]:
        """The next samples, as loud and bright as the body moves now; what is missing is silence."""
        samples = max(0, samples)
        sound, rest = state.sound[:, :samples], state.sound[:, samples:]
        missing = samples - sound.shape[1]
        if missing > 0:  # faded out, so that it does not click; then silence
            fade = min(sound.shape[1], _FADE)
            sound = np.concatenate(
                [sound[:, : sound.shape[1] - fade], sound[:, sound.shape[1] - fade :] * np.linspace(1, 0, fade)], axis=1
            )
            sound = np.pad(sound, ((0, 0), (0, missing)))
            until_s = (state.heard + samples) / self.sample_rate
            state = replace(state, missed=state.missed + missing, made_s=until_s)
        target = float(np.clip((state.movement - _STILL) / (_LIVELY - _STILL), 0, 1)) ** 0.5
        seconds = samples / self.sample_rate
        level = target + (state.level - target) * np.exp(-seconds / (_ATTACK_S if target > state.level else _RELEASE_S))
        ramp = np.linspace(state.level, level, samples, dtype=np.float32)
        cutoff_hz = _DARK_HZ * (_BRIGHT_HZ / _DARK_HZ) ** level
        pole = float(np.exp(-2 * np.pi * cutoff_hz / self.sample_rate))
        dark = np.zeros((len(sound), 1)) if state.dark is None else state.dark
        if samples:
            filtered, _ = lfilter([1 - pole], [1, -pole], sound, axis=1, zi=pole * dark)
            sound, dark = (filtered * ramp).astype(np.float32), filtered[:, -1:]
        return replace(state, sound=rest, heard=state.heard + samples, level=float(level), dark=dark), sound
