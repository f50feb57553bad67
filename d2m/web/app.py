"""The page as a server on this computer.

serve(Dance2Music.load("demo"))   # http://127.0.0.1:7860, until Ctrl-C or SIGTERM
with PageServer.start(port=None) as server: print(server.url)
"""

import signal
import threading
from types import FrameType

from starlette.middleware import Middleware

from d2m.core.errors import BadConfig
from d2m.pipeline import Dance2Music
from d2m.web.examples import write_examples
from d2m.web.jobs import JobQueue, PageFolder
from d2m.web.page import CSS, NothingFromElsewhere, Page, keep_gradio_inside, theme
from d2m.web.uploads import UploadLimits

_WAITING_MOST = 32
"""Jobs in the queue; a further one is refused until there is room."""


class PageServer:
    """A running page; a context manager that stops it and removes its files.

    Args:
        page: what is served.
        folder: where its files are.
        url: where it is.
    """

    def __init__(self, page: Page, folder: PageFolder, url: str) -> None:
        self.page, self.folder, self.url = page, folder, url

    @staticmethod
    def start(
        host: str = "127.0.0.1",
        port: int | None = 7860,
        model: Dance2Music | None = None,
        limits: UploadLimits | None = None,
        keep_minutes: float | int = 30,
    ) -> "PageServer":
        """Start in the background.

        Args:
            host: address to listen at; the default is reachable from this computer only.
            port: None: the first free one from 7860 on.
            model: None: the demo checkpoint.
            limits: of uploads.
            keep_minutes: age at which uploads and results are removed.

        Raises:
            BadConfig: when it cannot listen there.
        """
        folder = PageFolder(keep_minutes)
        try:
            keep_gradio_inside(folder)
            limits = limits or UploadLimits()
            jobs = JobQueue(model or Dance2Music.load("demo"), folder, limits)
            page = Page(jobs, write_examples(folder.examples))
            page.blocks.queue(max_size=_WAITING_MOST, default_concurrency_limit=1)
            _, url, _ = page.blocks.launch(
                server_name=host, server_port=port, share=False, prevent_thread_lock=True, quiet=True, inbrowser=False,
                max_file_size=int(limits.max_mb * 1e6), allowed_paths=[], blocked_paths=[str(folder.work)], ssr_mode=False,
                mcp_server=False, enable_monitoring=False, run_history=False, footer_links=[], show_error=False,
                theme=theme(), css=CSS, app_kwargs={"middleware": [Middleware(NothingFromElsewhere)], "docs_url": None, "redoc_url": None},
            )  # fmt: skip
        except OSError as error:
            folder.close()
            raise BadConfig(f"{host}:{port}: cannot listen there ({error}); name another port.") from error
        except BaseException:
            folder.close()
            raise
        return PageServer(page, folder, url)

    def close(self) -> None:
        """Stop listening and remove all files."""
        self.page.blocks.close(verbose=False)
        self.folder.close()

    def __enter__(self) -> "PageServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(
    model: Dance2Music,
    host: str = "127.0.0.1",
    port: int = 7860,
    limits: UploadLimits | None = None,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM, which both remove its files.

    Args:
        model: makes the music.
        host: address to listen at; `0.0.0.0` lets the whole network in.
        port: to listen at.
        limits: of uploads.

    Raises:
        BadConfig: when the port is taken.
    """
    signal.signal(signal.SIGTERM, _interrupt)  # before there are files: what ends the page always removes them
    with PageServer.start(host, port, model, limits) as server:
        try:
            print(f"The page is at {server.url} (stop it with Ctrl-C).", flush=True)
            if host not in ("127.0.0.1", "localhost", "::1"):
                print("Everybody who can reach this computer can use it.", flush=True)
            never = threading.Event()
            while not never.wait(0.5):  # a signal that another thread got is handled when this one wakes
                pass
        except KeyboardInterrupt:
            print("Stopped.")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, once: a second signal does not disturb the removal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
