"""How soon music answers, and what a long session costs: the time of every stage, claps against the sound, edges of blocks, memory.

A session is replayed on virtual time in the order that real time would give it: a picture waits until the one before has been
dealt with, blocks are made beside that, a player asks for 512 samples at a time. Each stage takes on this clock the processor time that it
took, so that other programs do not count; what it took by the wall clock is told beside it.
"""

import io
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.files import atomic_write, writable_folder, write_json
from d2m.core.music import Music
from d2m.live.performance import Live, LiveFrame, LiveState
from d2m.live.session import FILE_FPS, Sight
from d2m.metrics.beat_tracker import LibrosaTracker, Tracker
from d2m.motion.keypoints import POINTS
from d2m.rhythm.causal_reader import ReaderState
from d2m.rhythm.following import Following

BUFFER = 512
"""Samples that a player asks for at a time."""

STAGES = ("pose", "reader", "follower", "block", "sound")
"""Of a picture the body's points, of these the beat's probability, of that the beats to come; half a second of music; its loudness."""

CLAPS_BPM, _CONTINUOUS_S, _PAUSED, _LOCK_S = 112, 12.0, 4, 5.0
"""The clapping figure: its tempo; so long it claps; so often it then stands and claps again; claps are compared from then on."""

_EDGE = 32
"""Samples on either side of an edge."""


@dataclass
class Spent:
    """What stages took, in seconds: wall and processor time of each time, one after the other."""

    times: dict[str, array] = field(default_factory=lambda: {stage: array("d") for stage in STAGES})

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Whatever is done inside."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        yield
        self.times[stage].extend((time.perf_counter() - wall_s, time.process_time() - cpu_s))

    def took_s(self, stage: str) -> Float[np.ndarray, "time 2"]:
        """Wall and processor time of each time."""
        return np.array(self.times[stage]).reshape(-1, 2)

    def last_s(self, *stages: str) -> float:
        """Processor time that these took last."""
        return sum(self.times[stage][-1] for stage in stages if self.times[stage])


class TimedLive(Live):
    """The same, and it is noted what each stage takes."""

    spent: Spent

    def _read(
        self, points: Float[np.ndarray, "frame 13 2"], state: ReaderState | None
    ) -> tuple[Float[np.ndarray, " half"], ReaderState]:
        with self.spent.on("reader"):
            return super()._read(points, state)

    def _follow(self, following: Following, logits: Float[np.ndarray, " half"]) -> Following:
        with self.spent.on("follower"):
            return super()._follow(following, logits)

    def make_block(self, state: LiveState, now_s: float) -> LiveState:
        """See `Live.make_block`; silence before there are beats is no block."""
        with self.spent.on("block"):
            made = super().make_block(state, now_s)
        if made.music is state.music:
            del self.spent.times["block"][-2:]
        return made

    def play(self, state: LiveState, samples: int) -> tuple[LiveState, Float[np.ndarray, "audio sample"]]:
        """See `Live.play`."""
        with self.spent.on("sound"):
            return super().play(state, samples)


@dataclass(frozen=True)
class Replay:
    """A session on virtual time.

    Args:
        sound: all of it.
        level: loudness at the end of each buffer.
        state: at the end.
        passed_over: pictures that nobody had time for.
        memory_mb: after each tenth.
    """

    sound: Float[np.ndarray, "audio sample"]
    level: Float[np.ndarray, " buffer"]
    state: LiveState
    passed_over: int
    memory_mb: tuple[float, ...]


def replay(live: TimedLive, source: Iterator[Sight], seconds: float | int) -> Replay:
    """Play a source for so long; a frame is dealt with, and a block made, no sooner than there has been time for it."""
    rate, buffers = live.sample_rate, int(float(seconds) * live.sample_rate / BUFFER)
    sound = np.full((live.generator.dmae.in_channels, buffers * BUFFER), 0, np.float32)
    level, memory, state = np.zeros(buffers), list[float](), live.begin()
    free_s, maker_free_s, block_s, passed_over = 0.0, 0.0, 0.0, 0
    made: LiveState | None = None
    before, sight = state, _timed_next(live, source)
    for number in range(buffers):
        now_s = number * BUFFER / rate
        while sight is not None:
            took_s = live.spent.last_s("pose", "reader", "follower")
            if max(free_s, sight.frame.time_s) + took_s > now_s:
                break
            state = live.watch(state, [sight.frame])
            free_s = max(free_s, sight.frame.time_s) + live.spent.last_s("pose", "reader", "follower")
            sight = _timed_next(live, source)
            while sight is not None and sight.frame.time_s + 1 / FILE_FPS < free_s:
                passed_over, sight = passed_over + 1, _timed_next(live, source)
        while True:
            if made is None and (due := live.due(state, now_s, [block_s])) is not None:
                before, made = due, live.make_block(due, now_s)
                is_music = made.music is not state.music
                block_s = live.spent.last_s("block") if is_music else block_s
                maker_free_s = now_s + is_music * block_s
            if made is None or maker_free_s > now_s:
                break
            state, made = live.with_block(state, before, made), None
        state, sound[:, number * BUFFER : (number + 1) * BUFFER] = live.play(state, BUFFER)
        level[number] = state.level
        if (number + 1) * 10 // buffers > len(memory):
            memory.append(memory_mb())
    return Replay(sound, level, state, passed_over, tuple(memory))


def _timed_next(live: TimedLive, source: Iterator[Sight]) -> Sight | None:
    with live.spent.on("pose"):
        return next(source, None)


def memory_mb() -> float:
    """What this process holds now; where the system does not tell, the most that it held; 0 on Windows."""
    if Path("/proc/self/statm").is_file():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def repeated(source: Callable[[], Iterator[Sight]], seconds: float) -> Iterator[Sight]:
    """A source again and again, its clock going on."""
    from_s = 0.0
    while from_s < float(seconds):
        last_s = from_s
        for sight in source():
            last_s = from_s + sight.frame.time_s
            yield replace(sight, frame=replace(sight.frame, time_s=last_s))
        if last_s == from_s:
            return
        from_s = last_s + 1 / FILE_FPS


# The clapping figure

_STANDING = {
    "head": (0.0, 1.6), "shoulder": (0.2, 1.4), "elbow": (0.33, 1.15), "wrist": (0.4, 1.2), "hip": (0.12, 0.95),
    "knee": (0.13, 0.5), "ankle": (0.14, 0.08),
}  # fmt: skip
_DIP_M = 0.06


def clapping() -> tuple[Iterator[Sight], Float[np.ndarray, " clap"], Float[np.ndarray, " begin"]]:
    """A figure that claps and dips in the knees, `CLAPS_BPM` a minute, then four times stands for four claps and claps for four.

    Returns:
        the figure, its claps in seconds, and when it begins to move again after it stood.
    """
    period_s = 60 / CLAPS_BPM
    first = int(_CONTINUOUS_S / period_s)
    moves = np.concatenate([np.ones(first, bool), np.tile(np.repeat([False, True], 4), _PAUSED)])
    claps_s = np.flatnonzero(moves) * period_s  # hands are together where a movement begins
    begins_s = np.flatnonzero(np.diff(moves.astype(int)) > 0) + 1.0
    standing = np.array([_STANDING[name.split("_")[-1]] for name in POINTS])
    standing[:, 0] *= np.array([-1 if name.startswith("right") else 1 for name in POINTS])
    reach = np.array([{"wrist": 0.9, "elbow": 0.3}.get(name.split("_")[-1], 0.0) for name in POINTS])
    dip = np.array([{"ankle": 0.0, "knee": 0.5}.get(name.split("_")[-1], 1.0) for name in POINTS])

    def sights() -> Iterator[Sight]:
        for number in count():
            time_s = number / FILE_FPS
            beat, share = divmod(time_s / period_s, 1)
            if beat >= len(moves):
                return
            apart = abs(np.sin(np.pi * share)) ** 0.7 if moves[int(beat)] else 0.0
            points = standing * np.stack([1 - reach * (1 - apart), np.ones(13)], axis=1)
            points[:, 1] -= _DIP_M * (1 - apart) * dip
            yield Sight(LiveFrame(time_s, points))

    return sights(), claps_s, begins_s * period_s


def loop_back(live: TimedLive, tracker: Tracker) -> dict[str, Any]:
    """The clapping figure in; its claps against the beats that music is made on and those that are heard, and how soon loudness follows."""
    figure, claps_s, begins_s = clapping()
    seconds = claps_s[-1] + 60 / CLAPS_BPM
    played = replay(live, figure, seconds)
    heard_s = tracker.track(Music(played.sound, live.sample_rate))
    buffer_s = BUFFER / live.sample_rate
    reactions_s = []
    for begin_s in begins_s:
        at = int(begin_s / buffer_s)
        until = at + int(4 * 60 / CLAPS_BPM / buffer_s)
        level = played.level[at - 1 : until]
        half = (level[0] + level.max()) / 2
        after = int(np.argmax(level >= half))
        share = (half - level[after - 1]) / (level[after] - level[after - 1])
        reactions_s.append((at + after - 1 + share) * buffer_s - begin_s)
    compared_s = claps_s[(claps_s > _LOCK_S) & (claps_s < _CONTINUOUS_S)]
    committed_s = np.array([] if played.state.beats is None else played.state.beats.beats_s)
    waits_s = {
        "picture": 0.5 / FILE_FPS,
        **{stage: float(np.median(live.spent.took_s(stage)[:, 1])) for stage in ("reader", "follower")},
        "buffer": buffer_s / 2,
    }
    reaction_s = float(np.median(reactions_s))
    return {
        "reaction_ms": [round(1000 * one, 1) for one in reactions_s],
        "reaction_ms_median": 1000 * reaction_s,
        "reaction_spent_ms": {
            **{name: 1000 * wait_s for name, wait_s in waits_s.items()},
            "smoothing": 1000 * (reaction_s - sum(waits_s.values())),
        },
        "beats_made_ms": _offsets_ms(committed_s, compared_s),
        "beats_heard_ms": _offsets_ms(heard_s, compared_s),
        "missed_seconds": played.state.missed / live.sample_rate,
    }


def _offsets_ms(found_s: Float[np.ndarray, " found"], claps_s: Float[np.ndarray, " clap"]) -> dict[str, float | None]:
    """Of the found ones that are nearest to claps: after them in the median, and the median distance."""
    if not len(found_s):
        return {"median": None, "median_distance": None}
    offsets_s = np.array([found_s[np.abs(found_s - clap_s).argmin()] - clap_s for clap_s in claps_s])
    return {
        "median": 1000 * float(np.median(offsets_s)),
        "median_distance": 1000 * float(np.median(np.abs(offsets_s))),
    }


# The long session


def edge_strengths(
    sound: Float[np.ndarray, "audio sample"],
    edges: Float[np.ndarray, " edge"],
    beats: Float[np.ndarray, " beat"],
) -> dict[str, float]:
    """How much stands out at edges of blocks, half-way between them, and on the beats of the piece: in dB above the median of everywhere.

    Strength is the energy of the second difference, which a click is full of, in 64 samples.

    Args:
        sound: of whole blocks.
        edges, beats: in samples.
    """
    bends = np.diff(sound.mean(axis=0), n=2, prepend=0.0, append=0.0) ** 2
    energy = np.convolve(bends, np.ones(2 * _EDGE), mode="same")
    usual = max(float(np.median(energy)), 1e-20)

    def decibels(at: Float[np.ndarray, " place"]) -> Float[np.ndarray, " place"]:
        places = np.clip(at.astype(int), 0, len(energy) - 1)
        return 10 * np.log10(np.maximum(energy[places], 1e-20) / usual)

    everywhere = decibels(np.arange(0.0, len(energy), 2 * _EDGE))
    near = np.stack([beats + offset for offset in np.arange(-2000.0, 2001.0, 2 * _EDGE)])
    on_beats = decibels(near.ravel()).reshape(near.shape).max(axis=0) if near.size else np.zeros(1)
    found, between = decibels(edges), decibels((edges[1:] + edges[:-1]) / 2)
    return {
        "edge_db_median": float(np.median(found)), "edge_db_95": float(np.quantile(found, 0.95)),
        "half_way_db_median": float(np.median(between)), "half_way_db_95": float(np.quantile(between, 0.95)),
        "elsewhere_db_95": float(np.quantile(everywhere, 0.95)), "beat_db_median": float(np.median(on_beats)),
        "edges_above_elsewhere_95": float((found > np.quantile(everywhere, 0.95)).mean()),
    }  # fmt: skip


def session(live: TimedLive, source: Callable[[], Iterator[Sight]], seconds: float | int) -> dict[str, Any]:
    """A source, again and again, for so long: what was missed, samples against the clock, memory, edges of blocks."""
    played = replay(live, repeated(source, seconds), seconds)
    rate, block = live.sample_rate, live.generator.samples
    beats_s = np.array([] if played.state.beats is None else played.state.beats.beats_s)
    edges = np.arange(block, played.sound.shape[1] - block, block)
    begun = min(float(beats_s[0]) * rate if len(beats_s) else np.inf, played.sound.shape[1] - 6 * block)
    blocks_s = live.spent.took_s("block")
    return {
        "seconds": played.sound.shape[1] / rate,
        "samples_off_the_clock": played.state.heard - played.sound.shape[1],
        "missed_seconds": played.state.missed / rate,
        "pictures_passed_over": played.passed_over,
        "real_time_factor": {
            name: live.generator.seconds / float(np.median(blocks_s[:, column])) if len(blocks_s) else None
            for column, name in enumerate(("wall", "processor"))
        },
        "memory_mb": [round(one, 1) for one in played.memory_mb],
        "edges": edge_strengths(played.sound, edges[edges > begun + 2 * block].astype(float), beats_s * rate),
    }


# The report


def stage_table(spent: Spent) -> dict[str, dict[str, float | int]]:
    """Of each stage the median and the 95 % quantile in milliseconds, by the wall clock and of processor time."""
    table = {}
    for stage in spent.times:
        took = 1000 * spent.took_s(stage)
        if len(took) > 1:
            table[stage] = {
                "times": len(took),
                **{f"{name}_ms_median": float(np.median(took[:, k])) for k, name in enumerate(("wall", "processor"))},
                **{
                    f"{name}_ms_95": float(np.quantile(took[:, k], 0.95))
                    for k, name in enumerate(("wall", "processor"))
                },
            }
    return table


def histogram(spent: Spent, loop: Mapping[str, Any]) -> bytes:
    """PNG: what each stage took, one row each, and the reactions; milliseconds on a logarithmic scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyright: ignore[reportMissingImports]
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    took_ms = {stage: 1000 * spent.took_s(stage)[:, 1] for stage in spent.times}
    rows = {stage: times_ms for stage, times_ms in took_ms.items() if len(times_ms) > 1}
    rows["reaction"] = np.array(loop["reaction_ms"])
    figure = Figure(figsize=(8, 1.4 * len(rows)), layout="constrained")
    edges = np.logspace(-2, 3, 76)
    for axis, (name, times_ms) in zip(figure.subplots(len(rows), 1, sharex=True), rows.items(), strict=True):
        axis.hist(np.clip(times_ms, edges[0], edges[-1]), bins=edges, color="#3465a4")
        median = float(np.median(times_ms))
        axis.axvline(median, color="#cc0000", linewidth=1)
        axis.set(xscale="log", ylabel=name, yticks=[])
        axis.set_title(f"median {median:.3g} ms, {len(times_ms)} times", loc="right", fontsize=9)
    axis.set_xlabel("milliseconds of processor time; reaction: from the body's movement to half of the loudness")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def write_report(
    live: TimedLive,
    source: Callable[[], Iterator[Sight]],
    seconds: float | int,
    folder: Path,
    tracker: Tracker | None = None,
) -> str:
    """Play, measure, write latency.json and latency.png; a few lines for a person.

    Args:
        live: that is measured.
        source: what is danced, from its beginning each time.
        seconds: it is danced again and again for so long.
        folder: for both files.
        tracker: of the beats that are heard; None: librosa's.
    """
    out = writable_folder(folder)
    live.spent = Spent()
    long = session(live, source, seconds)
    stages, spent = stage_table(live.spent), live.spent
    live.spent = Spent()
    loop = loop_back(live, tracker or LibrosaTracker())
    write_json(out / "latency.json", {"stages": stages, "session": long, "claps": loop})
    with atomic_write(out / "latency.png") as temporary:
        temporary.write_bytes(histogram(spent, loop))
    lines = [
        f"{stage:<9}{row['processor_ms_median']:8.1f} ms of processor time (95 % {row['processor_ms_95']:.1f}), "
        f"{row['wall_ms_median']:.1f} ms by the clock (95 % {row['wall_ms_95']:.1f})"
        for stage, row in stages.items()
    ]
    factor, edges = long["real_time_factor"], long["edges"]
    lines += [
        f"{long['seconds']:.1f} s: {long['missed_seconds']:.2f} s missed, {long['samples_off_the_clock']} samples off the clock, "
        f"{long['pictures_passed_over']} pictures passed over, blocks {factor['processor'] or 0:.2f} times as fast as they play",
        f"memory after each tenth: {', '.join(f'{one:.0f}' for one in long['memory_mb'])} MB",
        f"edges of blocks: {edges['edge_db_median']:.1f} dB in the median (95 % {edges['edge_db_95']:.1f}), "
        f"half-way {edges['half_way_db_median']:.1f} ({edges['half_way_db_95']:.1f}), beats {edges['beat_db_median']:.1f}",
        f"claps: loudness follows after {loop['reaction_ms_median']:.0f} ms; beats are made {loop['beats_made_ms']['median'] or 0:+.0f} ms "
        f"and heard {loop['beats_heard_ms']['median'] or 0:+.0f} ms after them",
    ]
    return "\n".join(lines)
