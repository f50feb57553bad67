"""Films behind links, fetched by yt-dlp (extra `[download]`) into a folder and kept there."""

import hashlib
import re
from pathlib import Path
from typing import Any

from d2m.errors import BadConfig, BadInput

_TIMEOUT_S = 20
_RETRIES = 2


class DeadLink(BadInput):
    """A link leads to no film."""


class _Quiet:
    """What yt-dlp would print; its errors are raised besides."""

    def debug(self, message: str) -> None: ...

    def info(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


def downloaded(link: str, folder: Path) -> Path | None:
    """The film that was fetched from a link before, None where there is none."""
    films = [path for path in folder.glob(f"{_stem(link)}.*") if not re.search(r"\.(part|ytdl|temp)", path.name)]
    return next((path for path in sorted(films) if path.stat().st_size), None)


def download(link: str, folder: Path) -> Path:
    """Fetch the film of a link unless it is there; a transfer that broke off is continued.

    One file with picture and sound is asked for, at most 720 pixels high, as nothing here joins two.

    Raises:
        DeadLink: when nothing comes.
        BadConfig: when yt-dlp is not installed.
    """
    found = downloaded(link, folder)
    if found is not None:
        return found
    library = require_downloader()
    options: dict[str, Any] = {
        # yt-dlp reads % in its template: those of the folder's name are doubled
        "outtmpl": {"default": f"{str(folder.resolve()).replace('%', '%%')}/{_stem(link)}.%(ext)s"},
        "format": "b[height<=?720]/b", "noplaylist": True, "playlist_items": "1", "fixup": "never",
        "quiet": True, "noprogress": True, "logger": _Quiet(), "color": "never", "cachedir": False,
        "socket_timeout": _TIMEOUT_S, "retries": _RETRIES, "extractor_retries": 1,
    }  # fmt: skip
    try:
        with library.YoutubeDL(options) as downloader:
            downloader.extract_info(link, download=True)
    except (library.utils.YoutubeDLError, OSError) as error:
        raise DeadLink(f"{link}: no film came ({_first_line(error)}), expected one; correct the link.") from error
    found = downloaded(link, folder)
    if found is None:
        raise DeadLink(f"{link}: no film came (an empty answer), expected one; correct the link.")
    return found


def require_downloader() -> Any:
    """yt-dlp's module.

    Raises:
        BadConfig: when it is not installed.
    """
    try:
        import yt_dlp
        import yt_dlp.utils
    except ImportError as error:
        raise BadConfig(
            'yt-dlp: not installed, expected for films behind links; run: pip install -e ".[download]", or give paths.'
        ) from error
    return yt_dlp


def _stem(link: str) -> str:
    return hashlib.sha1(link.encode()).hexdigest()[:16]


def _first_line(error: BaseException) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip() or type(error).__name__
    return text.splitlines()[0].removeprefix("ERROR: ")[:160].rstrip(".; ")
