"""Music from a user's own songs: the passage that fits a dance best, put on its beats. Nothing is trained but the rhythm reader.

The baseline that the field lacks: take a song of the right tempo and align it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from d2m.audio.soundtrack import read_song
from d2m.core.aist_names import GENRES
from d2m.core.checkpoint import save_checkpoint
from d2m.core.errors import BadConfig, BadInput
from d2m.rhythm.reader import load_reader
from d2m.songs.index import SongIndex, index_songs, song_files
from d2m.songs.passages import TEMPO_TOLERANCE, DanceBars, Passage, Weights, nearest_tempo, passages
from d2m.songs.warp import laid
from d2m.systems.interface import GeneratedMusic, GenerationRequest, MusicGenerator, without_autoencoder

SAMPLE_RATE = 44100
_READ_ON_S = 2.0


class SongRetrieval(nn.Module):
    """How songs are chosen; it has no weights. The checkpoint names the rhythm reader that it goes with.

    Args:
        energy, genre, stretch, loop: see `d2m.songs.passages.Weights`.
    """

    def __init__(
        self,
        energy: float | int = Weights.energy,
        genre: float | int = Weights.genre,
        stretch: float | int = Weights.stretch,
        loop: float | int = Weights.loop,
    ) -> None:
        super().__init__()
        self.weights = Weights(energy, genre, stretch, loop)


class RetrievalGenerator(MusicGenerator):
    """Songs of a folder for dances.

    Settings: `songs`, the folder; it is listened to once (`d2m.songs.index`). Seed 0 is the best passage, 1 the next one, and so on.

    Args:
        system: how songs are chosen.
        made_with: `reader` is the checkpoint of the rhythm reader, by name or path.
        autoencoder: there is none.

    Raises:
        BadConfig: for an autoencoder, or where there is no reader.
    """

    settings = frozenset({"songs"})
    sample_rate = SAMPLE_RATE
    seeds_are_ranks = True

    def __init__(
        self, system: SongRetrieval, made_with: Mapping[str, Any], autoencoder: str | Path | None = None
    ) -> None:
        without_autoencoder(autoencoder, "retrieval")
        self.system = system
        self.rhythm_reader = load_reader(str(made_with.get("reader", "rhythm_reader"))).requires_grad_(False)
        self._indices: dict[str, SongIndex] = {}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse what is no folder of music.

        Raises:
            BadConfig: for a folder that is missing or holds no music.
        """
        if "songs" in settings:
            if not isinstance(settings["songs"], str | Path):
                raise BadConfig(f"songs={settings['songs']}: expected the name of a folder.")
            song_files(settings["songs"])

    def generate(self, request: GenerationRequest) -> GeneratedMusic:
        """The passage whose rank is the seed, on the beats that are asked for.

        Raises:
            BadConfig: when no folder is named, or no song in it can be used.
            BadInput: when no song is near the tempo.
        """
        songs = request.settings.get("songs")
        if songs is None:
            raise BadConfig("songs= is missing: name the folder of the songs to choose from (d2m CLIP --songs DIR).")
        index = self._index(str(songs))
        read = request.reading or self.read(request.motion)
        assert read is not None
        grid, likely = request.beats or read.beats.grid, read.genre_probabilities
        genre = int(likely.argmax()) if request.genre is None else request.genre
        shares: dict[str, float] = dict(zip(GENRES, likely.tolist(), strict=True))
        if request.genre is not None:
            shares = {code: float(number == genre) for number, code in enumerate(GENRES)}
        dance = DanceBars.of(request.motion.numpy(), grid, shares)
        ranked = passages(index.songs, dance, self.system.weights)
        if not ranked:
            name, bpm, share = nearest_tempo(index.songs, dance.bpm)
            raise BadInput(
                f"songs={songs}: none of {len(index.songs)} songs fits {dance.bpm:.0f} BPM within {TEMPO_TOLERANCE:.0%}; nearest is {name} "
                f"with {bpm:.0f} BPM, {abs(share):.0%} too {'fast' if share > 0 else 'slow'}; add songs, or ask for tempo={bpm:.0f}."
            )
        rank = request.seed % len(ranked)
        if request.seed >= len(ranked):
            tqdm.write(
                f"songs={songs}: only {len(ranked)} passages fit, so seed {request.seed} gives that of seed {rank}."
            )
        waveform = self._laid(index, ranked[rank], dance, request.samples)
        about = {"rank": rank, "of": len(ranked), **ranked[rank].as_json(dance)}
        return GeneratedMusic(waveform, {"songs": str(songs), "passage": about}, genre, likely)

    def _index(self, folder: str) -> SongIndex:
        if folder not in self._indices:
            self._indices[folder] = index_songs(folder)
        return self._indices[folder]

    def _laid(self, index: SongIndex, passage: Passage, dance: DanceBars, samples: int) -> Float[Tensor, "2 sample"]:
        stretches = passage.laid_under(dance)
        last_s = max(float(one.source_s[-1]) for one in stretches) + _READ_ON_S + 60 / dance.bpm
        song = read_song(index.folder / passage.song, SAMPLE_RATE, last_s)
        return torch.from_numpy(laid(song.waveform, SAMPLE_RATE, stretches, samples / SAMPLE_RATE))


def write_checkpoint(path: str | Path, reader: str = "rhythm_reader") -> Path:
    """Write the checkpoint of this system, which names a rhythm reader (of your own training, say) and has no weights."""
    names = {"system": SongRetrieval, "generator": RetrievalGenerator}
    config: dict[str, Any] = {key: {"_target_": f"{kind.__module__}.{kind.__name__}"} for key, kind in names.items()}
    config["generator"]["_partial_"] = True
    return save_checkpoint(Path(path), {}, config | {"reader": reader})
