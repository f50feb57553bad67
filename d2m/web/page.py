"""The page on this computer: a dance on the left, the video with its music on the right; its examples, theme and server.

serve(Dance2Music.load("demo"))   # http://127.0.0.1:7860, until Ctrl-C or SIGTERM
with PageServer.start(port=None) as server: print(server.url)
"""

import os
import pickle
import re
import signal
import time
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from d2m.core.aist_names import GENRE_TITLES
from d2m.core.errors import BadConfig, UserError
from d2m.data.synthetic.dances import choreograph
from d2m.motion.dance import Dance
from d2m.motion.readers import Hints
from d2m.pipeline import Dance2Music
from d2m.render.skeleton import save_poster
from d2m.web import live
from d2m.web.beats import HTML, JS, checked_beats
from d2m.web.jobs import MAX_TAKES, JobQueue, PageFolder, PageSettings, TakeFiles, hints_from, what_went_wrong
from d2m.web.uploads import Upload, UploadLimits

_SECONDS = 8.0
_CHOICES = (("gBR", 96.0), ("gHO", 122.0), ("gWA", 108.0), ("gJB", 88.0))
"""Genre and tempo in BPM that each example is danced to."""

_POSTER_S = 2.4
_POSTER_PIXELS = (320, 320)


@dataclass(frozen=True)
class ExampleDance:
    """One example.

    Args:
        path: an AIST++-style `.pkl`.
        poster: a picture of one moment.
        title: shown below the picture.
    """

    path: Path
    poster: Path
    title: str


def write_examples(folder: Path) -> list[ExampleDance]:
    """Write the example dances and their pictures into `folder`."""
    return [_write_example(folder, number, genre, bpm) for number, (genre, bpm) in enumerate(_CHOICES)]


def _write_example(folder: Path, number: int, genre: str, bpm: float) -> ExampleDance:
    beats_s = np.arange(0, _SECONDS + 1, 60 / bpm)
    poses = choreograph(genre, beats_s, 0, _SECONDS, dancer=30 + number, seed=40 + number)
    path = folder / f"{GENRE_TITLES[genre].replace(' ', '_')}.pkl"
    content = {"smpl_poses": poses.poses, "smpl_trans": poses.trans, "smpl_scaling": np.ones(1, np.float32)}
    path.write_bytes(pickle.dumps(content))
    poster = save_poster(Dance.load(path), path.with_suffix(".png"), _POSTER_S, size=_POSTER_PIXELS)
    return ExampleDance(path, poster, GENRE_TITLES[genre])


TITLE = "d2m: music for your dance"

HEADER = """<header class="d2m-header"><h1>d2m</h1>
<p>Give it a dance, get it back with music made for it.</p></header>"""

EMPTY = """<div class="d2m-note d2m-empty"><b>Your video with music appears here.</b>
Choose a dance; an example takes a few seconds.</div>"""

CSS = """
.gradio-container {width: 100% !important; min-width: 0 !important; max-width: 1160px !important; margin: 0 auto !important;}
.d2m-header {display: flex; align-items: baseline; gap: 14px; flex-wrap: wrap; padding: 6px 2px 2px;}
.d2m-header h1 {font-size: 30px; font-weight: 600; letter-spacing: -0.5px; margin: 0; color: var(--primary-600);}
.d2m-header p {margin: 0; font-size: 16px; color: var(--body-text-color-subdued);}
.d2m-note {border-radius: 8px; padding: 10px 14px; line-height: 1.45; font-size: 15px; overflow-wrap: anywhere;
  background: var(--block-background-fill); border: 1px solid var(--border-color-primary); color: var(--body-text-color);}
.d2m-empty {min-height: 220px; display: flex; flex-direction: column; align-items: center; justify-content: center;
  text-align: center; border-style: dashed; color: var(--body-text-color-subdued);}
.d2m-working {min-height: 96px; border-style: dashed;}
.d2m-bad {border-color: #c2410c; background: color-mix(in srgb, #c2410c 9%, var(--block-background-fill));}
.d2m-good {border-color: #15803d; background: color-mix(in srgb, #15803d 8%, var(--block-background-fill));}
.gradio-container > main, .gradio-container .contain {width: 100% !important; min-width: 0 !important;}
#d2m-video video {width: 100%; max-width: 100%; max-height: 440px; object-fit: contain;}
.html-container {padding: 0 !important;}
.d2m-hint {font-size: 13.5px; color: var(--body-text-color-subdued);}
.d2m-examples .grid-wrap {min-height: 0 !important; max-height: none !important; height: auto !important;}
.d2m-examples .grid-container {grid-template-columns: repeat(4, minmax(0, 1fr)) !important;}
.d2m-examples .thumbnail-item {min-width: 0 !important; width: 100% !important; height: auto !important;}
.d2m-examples .caption-label {font-size: 12px; left: 4px; right: auto; bottom: 4px; padding: 1px 6px; max-width: 92%;}
.d2m-make {min-height: 48px; font-size: 17px;}
@media (max-width: 640px) {.d2m-empty {min-height: 110px;} .d2m-header p {font-size: 15px;}}
"""


def theme() -> gr.themes.Base:
    """Indigo on grey, in fonts that lie in Gradio's own package."""
    return gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        font=[gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
    )


def hint(sentence: str) -> str:
    """Small print below an input."""
    return f'<div class="d2m-hint">{escape(sentence)}</div>'


def note(sentence: str, kind: str) -> str:
    """A sentence in a box; `kind` is `bad`, `good` or `working`. What users wrote is escaped."""
    return f'<div class="d2m-note d2m-{kind}" role="status">{escape(sentence)}</div>'


def keep_gradio_inside(folder: PageFolder) -> None:
    """Let Gradio put and serve files in `folder.served` only; to be called before a component is made.

    It reads these variables whenever it needs them, so they stay set in this process.
    """
    os.environ["GRADIO_TEMP_DIR"] = os.environ["GRADIO_EXAMPLES_CACHE"] = str(folder.served)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    for name in ("GRADIO_ALLOWED_PATHS", "GRADIO_SHARE", "GRADIO_MCP_SERVER"):
        os.environ.pop(name, None)


class NothingFromElsewhere:
    """Middleware that refuses to fetch addresses for the browser, which Gradio does for public ones."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to `…/file=http…` and `…/proxy=…`; pass everything else on."""
        path = scope.get("path", "").lower().replace("\\", "/")
        wanted = path.partition("file=")[2].lstrip("/ ")
        if scope["type"] == "http" and (wanted.startswith(("http:", "https:")) or "/proxy=" in path):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"Only files of this page are served."})
            return
        await self.app(scope, receive, send)


def takes_uploads_only(component: gr.File | gr.Video) -> None:
    """Let an input take files that were uploaded to this page, and no address to fetch one from.

    The file is handed on as it came; for a recorded video Gradio would call an ffmpeg program. The component is changed
    and not subclassed, because Gradio writes a stub file beside the source of every subclass.
    """
    to_cache = component.async_move_resource_to_block_cache

    async def refuse_addresses(url_or_file_path: Any) -> str | None:
        if str(url_or_file_path).strip().lower().startswith(("http:", "https:")):
            raise BadConfig("Upload the file; this page fetches nothing from addresses.")
        return await to_cache(url_or_file_path)

    component.async_move_resource_to_block_cache = refuse_addresses
    setattr(component, "preprocess", lambda payload: payload.path if payload else None)  # noqa: B010


_TELL_GENRE = "genre => { window.d2mGenre = genre; window.dispatchEvent(new Event('d2m-genre')); }"
"""What live music hears of the genre that is chosen."""

_PROBED_TOGETHER = 2
"""Uploads that are opened at the same time."""


class Page:
    """Components and what they do; `blocks` is the Gradio app.

    Args:
        jobs: makes the music.
        examples: dances to choose from.
    """

    def __init__(self, jobs: JobQueue, examples: list[ExampleDance]) -> None:
        self.jobs, self.dances = jobs, examples
        with gr.Blocks(title=TITLE, analytics_enabled=False) as self.blocks:
            gr.HTML(HEADER)
            with gr.Row():
                with gr.Column(scale=5, min_width=320):
                    self._dance_inputs()
                    self._settings()
                with gr.Column(scale=7, min_width=320):
                    self._results()
            self._connect()

    def _dance_inputs(self) -> None:
        limits = self.jobs.limits
        self.open_tab, self.example = gr.State("upload"), gr.State(None)
        with gr.Tabs():
            with gr.Tab("Upload") as self.upload_tab:
                self.upload = gr.File(show_label=False, elem_id="d2m-upload", height=150)
                most = f"at most {limits.max_seconds:g} s and {limits.max_mb:g} MB"
                gr.HTML(
                    hint(
                        f"A video of a dancer, or a motion file (AIST++, EDGE, AMASS, BVH, joints, keypoints …); {most}."
                    )
                )
            with gr.Tab("Film") as self.film_tab:
                self.film = gr.Video(
                    sources=["webcam"],
                    include_audio=False,
                    show_label=False,
                    webcam_options=gr.WebcamOptions(mirror=False),
                    height=300,
                )
                gr.HTML(hint(f"One dancer, the whole body in the picture, at most {limits.max_seconds:g} s."))
            with gr.Tab("Examples") as self.examples_tab:
                self.gallery = gr.Gallery(
                    [(str(dance.poster), dance.title) for dance in self.dances], columns=4, allow_preview=False,
                    show_label=False, buttons=[], elem_classes="d2m-examples", height="auto", interactive=False,
                )  # fmt: skip
            with gr.Tab("Live"):
                gr.HTML(None, html_template=live.HTML, js_on_load=live.JS, apply_default_css=False, elem_id="d2m-live")
                gr.HTML(hint("Music while you dance; the genre below may change meanwhile."))
        takes_uploads_only(self.upload)
        takes_uploads_only(self.film)
        self.dance_note = gr.HTML("", elem_id="d2m-dance-note")
        with gr.Accordion("The file", open=False, elem_id="d2m-file") as self.file:
            with gr.Row():
                usual: dict[str, Any] = {"placeholder": "its own", "min_width": 90, "max_lines": 1}
                self.fps = gr.Textbox("", label="fps", **usual)
                axes = [("its own", ""), ("y", "y"), ("z", "z")]
                self.up = gr.Dropdown(axes, value="", label="up", filterable=False, min_width=90)
                self.person = gr.Textbox("", label="person", **usual)
            gr.HTML(
                hint("What an uploaded motion file does not say, or says wrongly; of a video, whom to follow (1, 2 …).")
            )

    def _settings(self) -> None:
        genres = [("model chooses", ""), *((title, genre) for genre, title in GENRE_TITLES.items())]
        with gr.Row():
            self.genre = gr.Dropdown(genres, value="", label="Genre", filterable=False, min_width=140)
            self.tempo = gr.Textbox("", label="Tempo in BPM", placeholder="as danced", min_width=110, max_lines=1)
        with gr.Row():
            self.seed = gr.Number(0, label="Seed", precision=0, min_width=90)
            self.takes = gr.Slider(1, MAX_TAKES, value=1, step=1, label="Takes", min_width=160)
        self.overlay = gr.Checkbox(False, label="Draw the skeleton over the video")
        self.make = gr.Button("Make music", variant="primary", elem_id="d2m-make", elem_classes="d2m-make")

    def _results(self) -> None:
        self.made, self.danced = gr.State([]), gr.State(None)
        self.message = gr.HTML(EMPTY, elem_id="d2m-message")
        self.choice = gr.Radio([], label="Takes, best first", visible=False, elem_id="d2m-choice")
        self.video = gr.Video(visible=False, show_label=False, interactive=False, buttons=[], elem_id="d2m-video")
        self.beats = gr.HTML(None, html_template=HTML, js_on_load=JS, apply_default_css=False, elem_id="d2m-beats")
        with gr.Row():
            self.save_video = gr.DownloadButton("Download mp4", visible=False, elem_id="d2m-mp4", min_width=120)
            self.save_music = gr.DownloadButton("Download wav", visible=False, elem_id="d2m-wav", min_width=120)

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        for name in ("upload", "film", "examples"):
            tab = getattr(self, f"{name}_tab")
            tab.select(lambda chosen=name: (chosen, ""), None, [self.open_tab, self.dance_note], queue=False, **quiet)
        probing: dict[str, Any] = {
            **quiet,
            "show_progress": "minimal",
            "concurrency_limit": _PROBED_TOGETHER,
            "concurrency_id": "probe",
        }
        said: list[Any] = [self.fps, self.up, self.person]
        asked = [
            self.upload.change,
            self.up.input,
            *(event for box in (self.fps, self.person) for event in (box.submit, box.blur)),
        ]
        gr.on(asked, self._probe, [self.upload, *said], [self.dance_note, self.file], **probing)
        self.film.change(self._probe, self.film, [self.dance_note, self.file], **probing)
        self.genre.change(None, self.genre, None, js=_TELL_GENRE, **quiet)
        self.gallery.select(self._choose_example, None, [self.example, self.dance_note], queue=False, **quiet)
        shown = [
            self.message,
            self.made,
            self.danced,
            self.choice,
            self.video,
            self.beats,
            self.save_video,
            self.save_music,
        ]
        pressed = self.make.click(self._clear, None, shown, queue=False, **quiet)
        pressed.then(
            self._make,
            [
                self.open_tab, self.upload, self.film, self.example, self.genre, self.tempo, self.seed, self.takes, self.overlay,
                *said,
            ],
            shown, concurrency_limit=1, concurrency_id="make", show_progress_on=self.message, api_visibility="private",
        )  # fmt: skip
        self.beats.again(
            self._again, [self.danced, self.genre, self.seed, self.takes, self.overlay], shown,
            concurrency_limit=1, concurrency_id="make", show_progress_on=self.message, api_visibility="private",
        )  # fmt: skip
        self.choice.input(self._choose_take, [self.choice, self.made], [shown[0], *shown[4:]], queue=False, **quiet)

    def _probe(self, sent: str | None, fps: Any = None, up: Any = None, person: Any = None) -> tuple[str, Any]:
        """One sentence about what was sent: its length and what was decided, or why it's of no use; what can be said of the
        file is opened where that is asked for."""
        if not sent:
            return "", gr.update()
        try:
            upload = self.jobs.take_in(Path(sent), hints=hints_from(fps, up, person))
        except Exception as error:
            sentence = _sentence(error)
            return note(sentence, "bad"), gr.update(open=True) if sentence.endswith(_SAY_IT) else gr.update()
        read = f" Read as: {'; '.join(upload.decisions)}." if upload.decisions else ""
        return note(f"{upload.shown_name}: {upload.seconds:.1f} s, ready.{read}", "good"), gr.update()

    def _choose_example(self, event: gr.SelectData) -> tuple[int, str]:
        return event.index, note(f"Example: {self.dances[event.index].title}.", "good")

    def _dance(self, tab: str, upload: str | None, film: str | None, example: int | None, hints: Hints) -> Upload:
        """What the open tab holds; what is said of a file is said of an uploaded one, and of a film only whom to follow."""
        if tab == "examples":
            if example is None or not 0 <= example < len(self.dances):
                raise BadConfig("No dance yet: tap one of the examples first.")
            chosen = self.dances[example]
            return self.jobs.take_in(chosen.path)
        sent = film if tab == "film" else upload
        if not sent:
            raise BadConfig(f"No dance yet: {'film' if tab == 'film' else 'upload'} one, or choose an example.")
        return self.jobs.take_in(Path(sent), hints=hints)

    def _hidden(self) -> list[Any]:
        unseen = gr.update(visible=False)
        return [unseen, unseen, None, unseen, unseen]

    def _clear(self) -> list[Any]:
        return [note("", "working"), [], None, *self._hidden()]

    def _make(
        self, tab: str, upload: str | None, film: str | None, example: int | None,
        genre: Any, tempo: Any, seed: Any, takes: Any, overlay: Any, fps: Any, up: Any, person: Any,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        try:
            settings = PageSettings.checked(genre, tempo, seed, takes, overlay)
            dance = self._dance(tab, upload, film, example, hints_from(fps, up, person))
            return self._made(dance, settings, progress)
        except Exception as error:
            return [note(_sentence(error), "bad"), [], None, *self._hidden()]

    def _again(
        self, dance: Upload | None, genre: Any, seed: Any, takes: Any, overlay: Any, asked: gr.EventData,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        """The same dance with the beats that were sent; what is there stays where they are of no use."""
        try:
            if dance is None:
                raise BadConfig("There is no music to make again yet: press the other button first.")
            sent = asked._data.get("beats") if isinstance(asked._data, dict) else None
            settings = PageSettings.checked(genre, None, seed, takes, overlay)
            return self._made(dance, replace(settings, beats=checked_beats(sent, dance.seconds)), progress)
        except Exception as error:
            return [note(_sentence(error), "bad"), *[gr.update()] * 7]

    def _made(self, dance: Upload, settings: PageSettings, progress: gr.Progress) -> list[Any]:
        made = self.jobs.run(dance, settings, lambda stage, share: progress(share, desc=stage))
        labels = [(take.label, number) for number, take in enumerate(made)]
        choice = gr.update(choices=labels, value=0, visible=len(made) > 1)
        message, *files = self._shown(made[0])
        return [message, made, dance, choice, *files]

    def _choose_take(self, number: Any, made: list[TakeFiles]) -> list[Any]:
        if number not in range(len(made)) or not made[number].video.is_file():
            gone = note("This result was removed, as results are kept for a while only; make it again.", "bad")
            return [gone, *[gr.update()] * 4]
        return self._shown(made[number])

    def _shown(self, take: TakeFiles) -> list[Any]:
        video, save_video, save_music = (
            gr.update(value=str(path), visible=True) for path in (take.video, take.video, take.music)
        )
        return [note(take.facts, "good"), video, take.beats, save_video, save_music]


_SAY_IT = "(Here: under “The file”.)"


def _sentence(error: Exception) -> str:
    """What the page says about an error, and where on it to say what is asked for."""
    sentence = re.sub(r" \(in d2m: --\w+\)", "", what_went_wrong(error))
    is_asked = isinstance(error, UserError) and re.search(r"\b(fps|up|person)=", sentence)
    return f"{sentence} {_SAY_IT}" if is_asked else sentence


_WAITING_MOST = 32
"""Jobs in the queue; a further one is refused until there is room."""


class PageServer:
    """A running page; a context manager that stops it and removes its files.

    Args:
        page: what is served.
        folder: where its files are.
        url: where it is.
        stage: for live music.
    """

    def __init__(self, page: Page, folder: PageFolder, url: str, stage: live.LiveStage) -> None:
        self.page, self.folder, self.url, self.stage = page, folder, url, stage

    @staticmethod
    def start(
        host: str = "127.0.0.1",
        port: int | None = 7860,
        model: Dance2Music | None = None,
        limits: UploadLimits | None = None,
        keep_minutes: float | int = 30,
        live_model: Dance2Music | None = None,
    ) -> "PageServer":
        """Start in the background.

        Args:
            host: address to listen at; the default is reachable from this computer only.
            port: None: the first free one from 7860 on.
            model: None: the demo checkpoint.
            limits: of uploads.
            keep_minutes: age at which uploads and results are removed.
            live_model: of few steps; None: `demo_fast`.

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
            app, url, _ = page.blocks.launch(
                server_name=host, server_port=port, share=False, prevent_thread_lock=True, quiet=True, inbrowser=False,
                max_file_size=int(limits.max_mb * 1e6), allowed_paths=[], blocked_paths=[str(folder.work)], ssr_mode=False,
                mcp_server=False, enable_monitoring=False, run_history=False, footer_links=[], show_error=False,
                theme=theme(), css=CSS, app_kwargs={"middleware": [Middleware(NothingFromElsewhere)], "docs_url": None, "redoc_url": None},
            )  # fmt: skip
            stage = live.LiveStage(jobs.turn, live_model)
            app.router.routes[:0] = stage.routes()
        except OSError as error:
            folder.close()
            raise BadConfig(f"{host}:{port}: cannot listen there ({error}); name another port.") from error
        except BaseException:
            folder.close()
            raise
        return PageServer(page, folder, url, stage)

    def close(self) -> None:
        """Stop listening and remove all files."""
        self.stage.close()
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
    terminated: list[int] = []  # an exception of the handler is lost where it falls into a finaliser
    signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))  # before there are files
    with PageServer.start(host, port, model, limits) as server:
        try:
            print(f"The page is at {server.url} (stop it with Ctrl-C).", flush=True)
            if host not in ("127.0.0.1", "localhost", "::1"):
                print("Everybody who can reach this computer can use it.", flush=True)
            while not terminated:  # a signal that another thread got is handled when this one wakes
                time.sleep(0.2)
            print("Stopped.")
        except KeyboardInterrupt:
            print("Stopped.")
