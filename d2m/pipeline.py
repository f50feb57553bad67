"""The one façade: a dance in, music out. It knows no system by name, only `d2m.systems.interface`.

music = Dance2Music.load("demo")(Dance.load("dance.pkl"), seed=0)
music.save("dance.wav")
"""

import errno
import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from d2m.audio.mastering import playable
from d2m.core.aist_names import GENRES
from d2m.core.checkpoint import Checkpoint, build, load_checkpoint, load_into, shipped_or_path
from d2m.core.errors import BadConfig, BadInput, UserError, whole_number
from d2m.core.files import atomic_write, writable_folder
from d2m.core.music import Music
from d2m.core.registry import build as build_part
from d2m.core.registry import generator_config
from d2m.core.timeline import MOTION_FPS
from d2m.data.layout import load_dance
from d2m.models.device import choose_device
from d2m.motion.dance import Dance
from d2m.motion.readers import Hints
from d2m.rhythm.choice import BeatChoice
from d2m.rhythm.grid import BeatGrid
from d2m.systems.interface import DanceReading, GenerationRequest, MusicGenerator
from d2m.video.modality import modality_of


@dataclass(frozen=True)
class GenerationRecord:
    """What is written beside a wav.

    Args:
        dance, dance_seconds: the input.
        genre: code that the music was made for; genre_predicted: whether the model chose it; genre_probability: what the
            model's motion classifier gives it.
        checkpoint, checkpoint_sha256: the weights.
        seed: of the music.
        settings: all that it was made with, such as steps, guidance and decoder; the system's own where nothing was asked.
        seconds_taken: wall clock, decoding included.
        config: the system's own configuration.
        tempo_asked_bpm: where a tempo was asked for; dance_tempo_bpm: what the model read as the dance's own.
        beats: those that the music was made on, see `d2m.rhythm.choice.ChosenBeats.as_json`; None: the model takes none.
        warning: a sentence, where no beat could be read.
        dance_format, dance_decisions: of the motion file and its reading, see `d2m.motion.dance.Dance`.
    """

    dance: str
    dance_seconds: float
    genre: str
    genre_predicted: bool
    genre_probability: float
    checkpoint: str
    checkpoint_sha256: str
    seed: int
    settings: dict[str, Any]
    seconds_taken: float
    config: dict[str, Any]
    tempo_asked_bpm: float | None = None
    dance_tempo_bpm: float | None = None
    beats: dict[str, Any] | None = None
    warning: str | None = None
    dance_format: str | None = None
    dance_decisions: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dump`; every setting is a key of its own, beside the fields."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "settings"}
        return {**self.settings, **own}


class Dance2Music:
    """A trained system, ready to make music.

    Args:
        system: as the checkpoint's config builds it, with its weights.
        music_generator: what makes music with it.
        checkpoint: where the weights are from.
        settings: the system's, as in `generate`, for all music that is not asked for with others.

    Raises:
        BadConfig: for a setting that the system does not have or take.
    """

    def __init__(
        self,
        system: Any,
        music_generator: MusicGenerator,
        checkpoint: Checkpoint,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.system, self.music_generator, self.checkpoint = system, music_generator, checkpoint
        self.settings: dict[str, Any] = {}
        self.settings = self.asked(settings or {})

    @staticmethod
    def load(
        checkpoint: str | Path = "demo",
        autoencoder: str | Path | None = None,
        device: str = "cpu",
        precision: str = "exact",
        compiled: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> "Dance2Music":
        """Load a shipped checkpoint by name, or a `.safetensors` or `.ckpt` file by path.

        Args:
            checkpoint: name or path.
            autoencoder: autoencoder or codec, by name or path; None: the one that the checkpoint was trained with.
            device, precision, compiled: where and in what numbers, see `d2m.models.device.choose_device`.
            settings: see `Dance2Music`.

        Raises:
            BadConfig: when it does not exist, does not fit the autoencoder, or cannot run there.
            BadInput: when it is not a checkpoint of this project.
        """
        found = load_checkpoint(shipped_or_path(checkpoint))
        if "system" not in found.config:
            raise BadConfig(f"{found.path}: holds no dance-to-music system; give a checkpoint of scripts/train.py.")
        system = build(found.config["system"], found.path)
        described = generator_config(found.config)
        if described is None:
            raise BadConfig(
                f"{found.path}: {type(system).__name__} makes no music from a dance; give another checkpoint."
            )
        load_into(system, found)
        made_with = {key: value for key, value in found.config.items() if key not in ("system", "generator")}
        make = build_part(described, str(found.path))
        music_generator = _called(make, str(found.path), system, made_with, autoencoder)
        music_generator.on(choose_device(device, precision, compiled, music_generator.has_bfloat16_on_cpu))
        return Dance2Music(system, music_generator, found, settings)

    def __call__(self, dance: Dance, seed: int = 0, **settings: Any) -> Music:
        """Music exactly as long as the dance; settings are those of `generate`, which also tells what was done."""
        return self.generate(dance, seed, **settings)[0]

    def generate(
        self,
        dance: Dance,
        seed: int = 0,
        genre: str | None = None,
        progress: Callable | None = None,
        tempo_bpm: float | int | None = None,
        beats: BeatGrid | str | Path | None = None,
        shift_beats: float | int = 0,
        **settings: Any,
    ) -> tuple[Music, GenerationRecord]:
        """Music for a dance, and the record of how it was made.

        Args:
            dance: of any length from 1 s.
            seed: the same seed gives the same music.
            genre: such as `gBR`; None: the genre that the system reads from the motion.
            progress: wraps the iterator over the steps of the work, such as `tqdm`.
            tempo_bpm, beats, shift_beats: the beats that the music is made on, see `d2m.rhythm.choice.BeatChoice`; None: those
                that the system reads from the motion.
            settings: the system's (`MusicGenerator.settings`), such as steps, guidance, decoder; None: the system's own.

        Raises:
            BadConfig: for an unknown genre, a setting that the system does not have or take, or beats that cannot be asked for.
            BadInput: when a list of beats is none, or does not fit the dance.
        """
        return self.generate_together([dance], seed, genre, progress, tempo_bpm, beats, shift_beats, **settings)[0]

    def generate_together(
        self,
        dances: Sequence[Dance],
        seed: int = 0,
        genre: str | None = None,
        progress: Callable | None = None,
        tempo_bpm: float | int | None = None,
        beats: BeatGrid | str | Path | None = None,
        shift_beats: float | int = 0,
        **settings: Any,
    ) -> list[tuple[Music, GenerationRecord]]:
        """Music for several dances, which share the work where the system can (`batch`); see `generate`.

        The seconds taken are shared out by the dances' lengths.
        """
        started, music_generator = time.perf_counter(), self.music_generator
        if genre is not None and genre not in GENRES:
            raise BadConfig(
                f"genre={genre}: unknown; expected one of {', '.join(GENRES)}, or none to let the model choose."
            )
        asked = self.asked(settings)
        whole_number("seed", seed)
        index = None if genre is None else GENRES.index(genre)
        choice = BeatChoice(beats, tempo_bpm, shift_beats)
        listed = [choice.listed(dance.name, dance.seconds) for dance in dances]
        lengths = [self.samples(dance) for dance in dances]
        requests, chosen = [], []
        for dance, grid, samples in zip(dances, listed, lengths, strict=True):
            motion = torch.from_numpy(modality_of(dance, music_generator.modality))
            read = dance_reading(music_generator, dance)
            if read is None and choice.is_made:
                raise BadConfig(
                    "this checkpoint takes no beat, so no beats, tempo or shift can be asked for; leave them out, or give "
                    "another checkpoint."
                )
            one = None if read is None else choice.chosen(read.beats, grid, dance.seconds)
            requests.append(GenerationRequest(motion, index, samples, seed, asked, progress, one and one.grid, read))
            chosen.append(one)
        made = music_generator.generate_together(requests)
        seconds = (time.perf_counter() - started) / sum(lengths)
        pairs = []
        for dance, on, samples, one in zip(dances, chosen, lengths, made, strict=True):
            wave = playable(one.waveform[:, :samples].float().cpu().numpy(), music_generator.sample_rate)
            record = GenerationRecord(
                dance.name, len(dance.features) / MOTION_FPS, GENRES[one.genre], genre is None, round(float(one.genre_probabilities[one.genre]), 4),
                str(self.checkpoint.path.name), self.checkpoint.sha256, seed, {**one.settings, **self._device_settings()},
                round(seconds * samples, 3), self.checkpoint.config, tempo_bpm and float(tempo_bpm),
                on and round(on.reading.grid.bpm, 2), on and on.as_json(dance.seconds), on and on.warning(dance.name),
                dance.format, dance.decisions,
            )  # fmt: skip
            pairs.append((Music(wave, music_generator.sample_rate), record))
        return pairs

    def samples(self, dance: Dance) -> int:
        """Length of a dance's music, exactly as long as the dance."""
        return round(len(dance.features) * self.music_generator.sample_rate / MOTION_FPS)

    def _device_settings(self) -> dict[str, str]:
        device_config = self.music_generator.device_config
        return {"device": str(device_config.device), "precision": device_config.precision}

    def asked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The model's settings with those that are not None in their place.

        Raises:
            BadConfig: for a setting that the system does not have or take.
        """
        asked = {**self.settings, **{name: value for name, value in settings.items() if value is not None}}
        known = self.music_generator.settings
        for name, value in asked.items():
            if name not in known:
                raise BadConfig(
                    f"{name}={value}: {type(self.system).__name__} has no such setting; "
                    f"it takes {', '.join(sorted(known)) or 'none'}."
                )
            if name in ("steps", "top_k", "decoder_steps"):
                whole_number(name, value, 1)
            if name in ("sampler", "grid", "decoder") and not isinstance(value, str):
                raise BadConfig(f"{name}={value}: expected a name.")
            levels = value if isinstance(value, Sequence) else [None]
            if name == "guidance_interval" and not all(isinstance(level, int | float) for level in levels):
                raise BadConfig(f"{name}={value}: expected two noise levels, such as [0.2, 0.8].")
            if name in ("guidance", "guidance_rescale", "temperature") and not (
                isinstance(value, int | float) and isfinite(value)
            ):
                raise BadConfig(f"{name}={value}: expected a number.")
        self.music_generator.check(asked)
        return asked


def dance_reading(music_generator: MusicGenerator, dance: Dance) -> DanceReading | None:
    """Genre and beats that a system reads in a dance: in the picture where it was seen in one, else from the motion."""
    seen = None if dance.points is None else music_generator.read_seen(torch.from_numpy(dance.points).float())
    return seen or music_generator.read(torch.from_numpy(modality_of(dance, music_generator.modality)))


def _called(make: Any, source: str, *arguments: Any) -> MusicGenerator:
    """What makes music, of a checkpoint's `generator`: a part of d2m, but perhaps not one that makes music.

    Raises:
        BadInput: when it is another class, a function, or has an argument that the checkpoint may not give.
    """
    kind = make.func if isinstance(make, partial) else None
    if not (isinstance(kind, type) and issubclass(kind, MusicGenerator)):
        raise BadInput(
            f"{source}: its generator is {getattr(kind or type(make), '__name__', kind)}, expected a MusicGenerator with "
            "`_partial_: true`; do not use this file unless you know who made it."
        )
    try:
        inspect.signature(make).bind(*arguments)
    except TypeError as error:
        raise BadInput(f"{source}: its generator does not fit ({error}); do not use this file.") from error
    return make(*arguments)


# Music for many dances: the bad ones are reported at the end, the good ones are still made.


@dataclass
class BatchResult:
    """Wavs by dance file, and a sentence for each file that no music could be made for."""

    wavs: dict[Path, Path] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)


def generate_all(
    model: Dance2Music,
    paths: list[Path],
    out: Path,
    seed: int = 0,
    genre: str | None = None,
    on_wav: Callable[[Dance, Path], None] | None = None,
    tempo_bpm: float | int | None = None,
    beats: BeatGrid | str | Path | None = None,
    shift_beats: float | int = 0,
    hints: Hints = Hints(),  # noqa: B008 (frozen)
    **settings: Any,
) -> BatchResult:
    """Write `NAME_seedK.wav` and `NAME_seedK.json` for every dance.

    Args:
        model: what makes the music.
        paths: dance files.
        out: folder.
        seed, genre, tempo_bpm, beats, shift_beats: see `Dance2Music.generate`.
        on_wav: called with every dance and its wav.
        hints: what the user says of the dance files.
        settings: the system's, see `Dance2Music.generate`; with `batch` several dances are made together.
    """
    writable_folder(out)
    result, waiting = BatchResult(), dict[Path, Dance]()
    asked, choice = model.asked(settings), BeatChoice(beats, tempo_bpm, shift_beats)
    settings |= {"tempo_bpm": tempo_bpm, "beats": beats, "shift_beats": shift_beats}
    for number, path in enumerate(bar := tqdm(paths, desc="making music", unit="dance")):
        try:
            waiting[path] = dance = load_dance(path, model.music_generator.modality, hints)
            modality_of(dance, model.music_generator.modality)  # what cannot be seen is no other dance's fault
            choice.listed(dance.name, dance.seconds)
            lengths = [model.samples(one) for one in waiting.values()]
            is_enough = model.music_generator.at_once([*lengths, lengths[-1]], asked) <= len(waiting)
        except UserError as error:
            waiting.pop(path, None)
            result.failed[path] = str(error)
            is_enough = False
        if waiting and (is_enough or number == len(paths) - 1):
            _make(model, waiting, out, seed, genre, on_wav, settings, result)
            waiting = {}
    bar.close()
    return result


def _make(
    model: Dance2Music,
    dances: dict[Path, Dance],
    out: Path,
    seed: int,
    genre: str | None,
    on_wav: Callable[[Dance, Path], None] | None,
    settings: dict[str, Any],
    result: BatchResult,
) -> None:
    try:
        made = model.generate_together(list(dances.values()), seed, genre, **settings)
    except UserError as error:
        result.failed |= dict.fromkeys(dances, str(error))
        return
    for (path, dance), (music, record) in zip(dances.items(), made, strict=True):
        try:
            wav = music.save(out / f"{dance.name}_seed{seed}.wav")
            with atomic_write(wav.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps(record.as_json(), indent=2))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            result.failed[path] = (
                f"{path}: its music would be called {dance.name[:20]}…_seed{seed}.wav, a name longer than the disk allows; "
                "shorten the dance's name."
            )
            continue
        result.wavs[path] = wav
        if record.warning:
            tqdm.write(record.warning)
        if on_wav:
            on_wav(dance, wav)
