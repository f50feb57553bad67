"""Music for many dances: the bad ones are reported at the end, the good ones are still made."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from d2m.dance import Dance
from d2m.data.seen_dance import load_dance
from d2m.errors import UserError
from d2m.files import writable_folder, written_whole
from d2m.generate import Dance2Music
from d2m.video.view import view


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
    **settings: Any,
) -> BatchResult:
    """Write `NAME_seedK.wav` and `NAME_seedK.json` for every dance.

    Args:
        model: what makes the music.
        paths: dance files.
        out: folder.
        seed, genre: see `Dance2Music.generate`.
        on_wav: called with every dance and its wav.
        settings: the system's, see `Dance2Music.generate`; with `batch` several dances are made together.
    """
    writable_folder(out)
    result, waiting = BatchResult(), dict[Path, Dance]()
    asked = {name: value for name, value in settings.items() if value is not None}
    for number, path in enumerate(bar := tqdm(paths, desc="making music", unit="dance")):
        try:
            waiting[path] = dance = load_dance(path, model.composer.reads)
            view(dance, model.composer.reads)  # what cannot be seen is no other dance's fault
            lengths = [model.samples(one) for one in waiting.values()]
            is_enough = model.composer.at_once([*lengths, lengths[-1]], asked) <= len(waiting)
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
        wav = music.save(out / f"{dance.name}_seed{seed}.wav")
        with written_whole(wav.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(record.as_json(), indent=2))
        result.wavs[path] = wav
        if on_wav:
            on_wav(dance, wav)
