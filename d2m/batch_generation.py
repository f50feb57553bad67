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
        settings: the system's, see `Dance2Music.generate`.
    """
    writable_folder(out)
    result = BatchResult()
    bar = tqdm(paths, desc="making music", unit="dance")
    for path in bar:
        try:
            dance = load_dance(path, model.composer.reads)
            music, record = model.generate(dance, seed, genre, **settings)
        except UserError as error:
            result.failed[path] = str(error)
            continue
        wav = music.save(out / f"{dance.name}_seed{seed}.wav")
        with written_whole(wav.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(record.as_json(), indent=2))
        result.wavs[path] = wav
        if on_wav:
            on_wav(dance, wav)
    return result
