"""What `NAME.json` beside generated music says: the genre read in the dance, the checkpoint, the beats it was made to."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.metrics.beats import checked_times


def _said(generated: Path) -> dict[str, Any]:
    """What `NAME.json` beside a generated sound says; nothing where there is no such file."""
    with suppress(OSError, UnicodeDecodeError, json.JSONDecodeError):
        said = json.loads(generated.with_suffix(".json").read_text())
        return said if isinstance(said, dict) else {}
    return {}


def read_predicted_genre(generated: Path) -> str | None:
    """The genre in `NAME.json` beside a generated sound, None when there is no such file or field.

    Music whose file says `"genre_predicted": false` was told its genre, so there is nothing to judge.
    """
    said = _said(generated)
    if said.get("genre_predicted") is False:
        return None
    genre = said.get("genre")
    return genre if isinstance(genre, str) else None


@dataclass(frozen=True)
class GivenBeats:
    """The beats that music was made to, as its `NAME.json` says.

    Args:
        beats_s: in seconds.
        source: where they are from: `file` and `tempo` are a user's.
        shift: by which share of a beat a user moved them.
        confidence: of the reading, None where they were not read.
    """

    beats_s: Float[np.ndarray, " beat"]
    source: str
    shift: float
    confidence: float | None = None

    @property
    def are_read(self) -> bool:
        """Whether they are what was read from the motion, as it was read."""
        return self.source not in ("file", "tempo") and self.shift == 0

    @staticmethod
    def beside(generated: Path) -> "GivenBeats | None":
        """Those in the JSON beside a generated sound; None where there is no such file, or where it says none.

        Raises:
            BadInput: when it says some that cannot be used.
        """
        file = generated.with_suffix(".json")
        said = _said(generated).get("beats")
        if not isinstance(said, dict):
            return None
        try:
            confidence = said.get("confidence")
            return GivenBeats(
                checked_times(np.array(said["beats_s"], dtype=np.float64).reshape(-1), "beats_s"),
                str(said.get("source") or ""),
                float(said.get("shift") or 0.0),
                None if confidence is None else float(confidence),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{file}: found beats that cannot be used ({error!r}), expected times in seconds as `beats.beats_s`; make the"
                " music again, or delete the key."
            ) from error


def checkpoints_of(sounds: Iterable[Path]) -> list[str]:
    """SHA-256 of the checkpoints named by `NAME.json` beside the generated sounds, each once; empty where none is."""
    said = [_said(path).get("checkpoint_sha256") for path in sounds]
    return sorted({sha256 for sha256 in said if isinstance(sha256, str)})
