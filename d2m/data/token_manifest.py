"""What the tokens of a folder are: `manifest.json` beside them says which codec made them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from d2m.audio.codec import CodecFacts
from d2m.data.array_files import writing
from d2m.data.latent_index import MANIFEST
from d2m.data.layout import DataSetLayout
from d2m.errors import BadInput

VERSION = 1
_NUMBERS = ("sample_rate", "hop_samples", "codebooks", "codebook_size")


def token_folder(layout: DataSetLayout, codec: str) -> Path:
    """`root/tokens/CODEC`."""
    return layout.root / "tokens" / codec


def token_file(layout: DataSetLayout, name: str, codec: str) -> Path:
    """Codes [codebook frame] of a sequence, int16."""
    return token_folder(layout, codec) / f"{name}.npy"


@dataclass(frozen=True)
class TokenManifest:
    """What made the tokens of a folder.

    Args:
        codec: what the tokens are.
        source: what `d2m.audio.codec.load_codec` finds the codec by.
        bandwidth: of an EnCodec in kbit/s, else None.
        sequences: that are there.
    """

    codec: CodecFacts
    source: str
    bandwidth: float | None
    sequences: int

    @staticmethod
    def load(folder: Path) -> "TokenManifest":
        """Read `folder/manifest.json`.

        Raises:
            BadInput: when it is missing, damaged or of another version.
        """
        path, again = folder / MANIFEST, f"run scripts/encode.py codec={folder.name}"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BadInput(f"{path}: not found, expected the manifest of codec tokens; {again} first.") from error
        except (ValueError, OSError) as error:
            raise BadInput(f"{path}: damaged ({str(error)[:100]}); delete it and {again} again.") from error
        if not isinstance(content, dict) or content.get("version") != VERSION:
            found = content.get("version") if isinstance(content, dict) else type(content).__name__
            raise BadInput(f"{path}: found version {found}, expected {VERSION}; delete {folder} and {again} again.")
        return _manifest_of(content, path, again)

    def save(self, folder: Path) -> Path:
        """Write `folder/manifest.json`, whole or not at all."""
        content = {
            "version": VERSION,
            **self.codec.as_json(),
            **{k: v for k, v in asdict(self).items() if k != "codec"},
        }
        with writing(folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return folder / MANIFEST


def _manifest_of(content: dict[str, Any], path: Path, again: str) -> TokenManifest:
    try:
        numbers = {key: int(content[key]) for key in _NUMBERS}
        facts = CodecFacts(name=str(content["name"]), fingerprint=str(content["fingerprint"]), **numbers)
        bandwidth = content["bandwidth"]
        return TokenManifest(
            facts, str(content["source"]), None if bandwidth is None else float(bandwidth), int(content["sequences"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: damaged ({error!r}); delete it and {again} again.") from error
