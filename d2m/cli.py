"""The command `d2m`: a film or a dance file goes in, the same with music comes out; `d2m serve`, and `d2m COMMAND KEY=VALUE`."""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from d2m import __version__
from d2m.commands import COMMANDS, run
from d2m.commands.live import live
from d2m.commands.motion_files import convert, inspect
from d2m.core.aist_names import GENRE_TITLES, GENRES
from d2m.core.errors import BadConfig, BadInput, user_errors_exit
from d2m.core.files import writable_folder

_DESCRIPTION = """\
Music for a dance. Film somebody dancing, and get the film back with music that follows the dancer.

  d2m dance.mp4                       writes dance_music.mp4 beside it: your pictures, untouched, with new music
  d2m dance.mp4 -o out.mp4 --overlay  the same, with the skeleton drawn over the pictures
  d2m dance.mp4 -o song.wav           only the music
  d2m dance.mp4 --genre gHO --seed 7  house music, another piece
  d2m dance.mp4 --shift 0.5           its beats half a beat later, where they were misread
  d2m dance.mp4 -o out.mp4 --takes 4  four pieces: the best is out.mp4, the others out_take2.mp4 to out_take4.mp4
  d2m dance.mp4 --songs ~/music       your own songs in place of new music: the passage that fits, on the dance's beats
  d2m dance.pkl -o out.mp4            a motion file (AIST++, EDGE, AMASS, …): a stick figure dances
  d2m inspect FILE …                  what motion files are: format, frame rate, length, axis (--help: more)
  d2m convert dance.pt dance.npz      a motion file as another: AMASS .npz, AIST++ .pkl, .bvh
  d2m serve                           a page in the browser that does the same
  d2m live --file dance.pkl           music while somebody dances: from a camera, or as if the file went on now"""

_COMMANDS = (
    "commands for data, training and evaluation (d2m COMMAND KEY=VALUE …; d2m COMMAND --help lists the keys):\n"
    + "".join(f"  {command.name:<18}{command.help}\n" for command in COMMANDS.values())
)

_EPILOG = f"""\
{_COMMANDS}
The clip should last at least 1 s and show one person from head to foot, filmed by a camera that stands still. Phone
clips, turned or with an uneven frame rate, are fine; the clip's own sound is left out. Files are overwritten only
with --force, and the clip itself never is. Where an mp4 cannot hold the pictures as they are (such as VP9), they are
encoded again, and d2m says so.

genres: {", ".join(f"{code} {GENRE_TITLES[code]}" for code in GENRES[:5])},
        {", ".join(f"{code} {GENRE_TITLES[code]}" for code in GENRES[5:])}

alignment: how near the beats of the music lie to the moments at which the dancer comes to rest, from 0 to 1, higher is
nearer. Takes are ordered by it. The same seed gives the same music.

beat: music is made on the beats that the model reads from the dance. Where they are wrong, --shift 0.5 moves them by
half a beat, --tempo gives regular beats of another tempo (half or double, say) where they fit the dance best, and
--beats takes a list of times, or the .json that "d2m sample" writes beside its music. The tempo heard is printed.
"""

_SERVE = """\
Open a page in the browser: upload or record a clip, choose genre, tempo and takes, watch and download the result. The page
is seen on this computer only, unless --host says otherwise (0.0.0.0: by everybody in your network)."""


_LIVE = """\
Music while somebody dances. The beat is followed frame by frame, music is made a third of a second ahead on the beats that are
predicted, and loudness and brightness follow the body at once. It stops when the dancer stops; Ctrl-C ends it."""


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Texts as they are written, and lines as wide as theirs."""
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=24, width=120)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, as every error of d2m."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message.rstrip('.')}; {self.prog} --help tells what there is.", file=sys.stderr)
        sys.exit(2)


def clip_parser() -> argparse.ArgumentParser:
    """Of `d2m CLIP`."""
    parser = _Parser(
        "d2m",
        usage="d2m [make] CLIP [-o OUT.mp4|OUT.wav] [options]\n       d2m inspect FILE … | d2m convert IN OUT\n       d2m serve [--port N] [--host ADDRESS] | d2m live --camera N|--file FILE\n"
        "       d2m COMMAND [KEY=VALUE …] [--config-dir DIR]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("clip", type=Path, metavar="CLIP", help="a video of any kind, or a motion file (.pkl, .npz, .npy …)")
    add("-o", "--out", type=Path, metavar="FILE", help=".mp4 or .wav; default: CLIP_music.mp4 beside the clip")
    add("--genre", metavar="CODE", help="such as gHO; default: what the model reads from the motion")
    add("--seed", type=_seed, default=0, metavar="N", help="another number gives another piece (default 0)")
    add("--tempo", type=float, metavar="BPM", help="music at this tempo, see below; default: the dance's own")
    add("--beats", type=Path, metavar="FILE", help="times of the beats, one in seconds a line; default: as danced")
    add("--shift", type=float, default=0.0, metavar="BEATS", help="all beats so much later, such as 0.5 (default 0)")
    add("--takes", type=_takes, default=1, metavar="N", help="make N pieces, seeds SEED to SEED+N-1, best first")
    add("--overlay", action="store_true", help="draw the skeleton over the film")
    add("--poster", type=Path, metavar="FILE", help="also a picture for a README: .png (four moments) or .gif (a loop)")
    _add_hints(add, is_film=True)
    add("--landmarks", type=Path, metavar="FILE",
        help="keep what was seen in the film in this .npz, or use it if it exists; default: in a cache folder")  # fmt: skip
    add("--pose-model", type=Path, metavar="FILE",
        help="MediaPipe .task file, or an RTMPose network (.onnx); default: the model in MediaPipe's package")  # fmt: skip
    _add_generation_options(add)
    add("--force", action="store_true", help="overwrite outputs that exist")
    add("--quiet", action="store_true", help="no progress bars")
    add("--version", action="version", version=f"d2m {__version__}")
    return parser


def serve_parser() -> argparse.ArgumentParser:
    """Of `d2m serve`."""
    parser = _Parser(
        "d2m serve",
        description=_SERVE,
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--port", type=int, default=7860, help="default 7860")
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="default 127.0.0.1: this computer only")
    _add_generation_options(add)
    add("--max-mb", type=float, default=200, metavar="N", help="largest upload (default 200)")
    add("--max-seconds", type=float, default=60, metavar="N", help="longest clip (default 60)")
    return parser


def live_parser() -> argparse.ArgumentParser:
    """Of `d2m live`."""
    parser = _Parser("d2m live", description=_LIVE, formatter_class=_formatter, allow_abbrev=False)
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--camera", type=int, metavar="N", help="number of a camera, such as 0")
    source.add_argument(
        "--file", type=Path, metavar="FILE", help="a film or a motion file, played as if it went on now"
    )
    add("--record", type=Path, metavar="FILE", help=".wav, or .mp4 with the pictures; a .json with the beats beside it")
    add("--virtual", action="store_true", help="a file as fast as the computer can, without a loudspeaker")
    add(
        "--report",
        type=Path,
        metavar="DIR",
        help="in place of music: what each stage takes, claps against the sound, a long session; latency.json and .png",
    )
    add("--seconds", type=float, default=20.0, metavar="S", help="of --report: the file again and again (default 20)")
    add("--genre", metavar="CODE", help="such as gHO; default: what is read from the motion when music begins")
    add("--key", metavar="NAME", help="of the music, such as Am; default: drawn, by the seed")
    add("--seed", type=_seed, default=0, metavar="N", help="another number gives another piece (default 0)")
    add("--tempo", type=float, metavar="BPM", help="where it is known; default: as danced")
    add("--shift", type=float, default=0.0, metavar="BEATS", help="all beats so much later, such as 0.5 (default 0)")
    add(
        "--checkpoint",
        default="demo_fast",
        metavar="NAME",
        help="a latent diffusion system of few steps (default demo_fast)",
    )
    add(
        "--reader",
        default="causal_rhythm_reader",
        metavar="NAME",
        help="a causal rhythm reader (default: the shipped one)",
    )
    add("--pose-model", type=Path, metavar="FILE", help="MediaPipe .task file, or an RTMPose network (.onnx)")
    add("--force", action="store_true", help="overwrite a record that exists")
    return parser


def inspect_parser() -> argparse.ArgumentParser:
    """Of `d2m inspect FILE…`."""
    parser = _Parser(
        "d2m inspect", description="What motion files are, and what was decided about each.", allow_abbrev=False
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="motion files, or folders of them")
    _add_hints(add)
    add("--json", action="store_true", help="a list of objects, one a file")
    add(
        "--figure",
        type=Path,
        metavar="FILE",
        help="also a picture of the one dance: .png (four moments) or .gif (a loop)",
    )
    return parser


def convert_parser() -> argparse.ArgumentParser:
    """Of `d2m convert IN OUT`."""
    parser = _Parser("d2m convert", description="Write a motion file in another format.", allow_abbrev=False)
    add = parser.add_argument
    add("source", type=Path, metavar="IN", help="a motion file of any kind that d2m reads")
    add(
        "out",
        type=Path,
        metavar="OUT",
        help=".npz (AMASS, Z up) or .bvh, at the file's own rate, or .pkl (AIST++, 60 fps)",
    )
    _add_hints(add)
    add("--force", action="store_true", help="overwrite an output that exists")
    return parser


def _add_hints(add: Callable[..., object], is_film: bool = False) -> None:
    """Options that say what a motion file does not, and who is followed in a film."""
    add(
        "--fps", type=float, metavar="N", help="of a motion file that does not tell its frame rate, or tells it wrongly"
    )
    add("--up", metavar="AXIS", help="of a motion file: the axis that points up in it, y or z")
    of_film = "of several people: who is followed, or all for the rhythm of everybody in a film (default: the dancer)"
    of_file = "of a motion file with several people: whose dance it is"
    add("--person", type=_person if is_film else int, metavar="N", help=of_film if is_film else of_file)


def _add_generation_options(add: Callable[..., object]) -> None:
    """Options of `d2m CLIP` and `d2m serve` that say where and how the music is made."""
    add("--checkpoint", metavar="NAME",
        help="a shipped model or a file of your training (default demo; with --songs retrieval)")  # fmt: skip
    add("--songs", type=Path, metavar="DIR", help="folder of your own songs, with all below it; listened to once")
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:N, mps or auto (default cpu)")
    add("--precision", default="exact", metavar="NAME", help="exact, bf16 or auto (default exact)")
    add("--steps", type=_steps, metavar="N", help="sampling steps, fewer are faster; default: the model's own")
    add("--key", metavar="NAME", help="of the music, such as Am, C or none, for a model that takes one; default: drawn")
    add("--guidance", type=_guidance, metavar="X", help="classifier-free guidance scale; default: the model's own")


def _steps(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"'{text}' steps, expected a whole number from 1 to 1000")
    return int(text)


def _guidance(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 0 <= scale <= 100:
        raise argparse.ArgumentTypeError(f"'{text}' is no guidance scale, expected a number from 0 to 100")
    return scale


def _person(text: str) -> int | str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is nobody, expected a number from 1, or all")
    return text if text == "all" else int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"'{text}' is no seed, expected a whole number from 0")
    return int(text)


def _takes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"'{text}' takes, expected a number from 1 to 64")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status (a user's mistake ends with status 2 and one sentence)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments:
        clip_parser().print_help(sys.stderr)
        return 2
    with user_errors_exit():
        command = arguments[0].replace("-", "_")
        if command == "serve":
            _serve(serve_parser().parse_args(arguments[1:]))
        elif command == "live":
            options = live_parser().parse_args(arguments[1:])
            _check_genre(options.genre)
            live(options)
        elif command == "inspect":
            return inspect(inspect_parser().parse_args(arguments[1:]))
        elif command == "convert":
            return convert(convert_parser().parse_args(arguments[1:]))
        elif command in COMMANDS:
            run(command, arguments[1:])
        else:
            _film(clip_parser().parse_args(arguments[command == "make" :]))
    return 0


def _film(options: argparse.Namespace) -> None:
    """Watch, compose, write, and tell."""
    _check_genre(options.genre)
    if not options.clip.is_file():
        raise BadInput(f"{options.clip}: no such file; give a film or a motion file (.pkl, .npz, .npy).")
    outs = _outputs(options)
    # Imported from here on, so that --help and most mistakes answer at once.
    _check_model(_checkpoint(options))
    from d2m.clip_pipeline import ClipRequest, is_dance_file, make_clip, write_clip_poster, write_take
    from d2m.motion.readers import Hints
    from d2m.video.landmark_cache import landmark_file

    is_film, is_group = not is_dance_file(options.clip), options.person == "all"
    if is_group and not is_film:
        raise BadConfig(
            "--person all: a motion file is one person's dance; give the number of one of the people in it."
        )
    person = None if is_group else options.person
    landmarks = options.landmarks
    if landmarks is None and is_film:
        landmarks = landmark_file(options.clip, options.pose_model, person)
    request = ClipRequest(
        options.clip, options.genre, options.seed, options.tempo, options.takes, options.overlay,
        landmarks, options.pose_model, beats=options.beats, shift_beats=options.shift,
        hints=Hints(options.fps, options.up, person), group=is_group,
    )  # fmt: skip
    with _Bars(options.quiet) as bars:
        model = _model(options)
        clip = make_clip(request, model, bars.show)
        for number, (take, out) in enumerate(zip(clip.takes, outs, strict=True)):
            bars.show("writing", number / len(outs))
            write_take(clip, take, out, options.overlay)
        if options.poster:
            write_clip_poster(clip, clip.takes[0], options.poster)
        bars.show("writing", 1.0)
    for decision in clip.dance.decisions:
        print(f"{options.clip}: {decision}")
    for sentence in _seen(clip, person):
        print(sentence)
    if clip.takes[0].warning:
        print(clip.takes[0].warning)
    _print_takes(clip.takes, outs, options.tempo)
    if options.poster:
        print(f"poster: {options.poster}")


def _seen(clip: Any, person: int | None) -> Iterator[str]:
    """What a film showed, and what it did not."""
    if clip.landmarks is None:
        return
    off = f"; bones off by {100 * clip.segment_error_m:.1f} cm" if math.isfinite(clip.segment_error_m) else ""
    yield f"seen: the dancer in {clip.seen_share:.0%} of the frames{off}"
    people = int(clip.landmarks.people[:, 1].max(initial=1))
    if people > 1:
        followed = "all were followed" if clip.group_beats is not None else f"number {person or 1} was followed"
        yield (
            f"people: {people} were seen, {followed}; --person N follows another, --person all everybody, and --overlay "
            "shows the numbers in the film's first seconds"
        )
    if clip.landmarks.cuts_s:
        yield f"cuts: {', '.join(f'{cut_s:.2f}' for cut_s in clip.landmarks.cuts_s)} s; every shot was read by itself"
    for part, name in (("ankle", "feet"), ("wrist", "hands")):
        share = clip.landmarks.outside_share(part)
        if share > 0.2:
            yield f"out of the picture: the {name} in {share:.0%} of the frames; the beats were read from what is in it"


def _serve(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        BadConfig: when the page's extra is not installed.
    """
    _check_model(_checkpoint(options))
    try:
        from d2m.web.page import serve
        from d2m.web.uploads import UploadLimits
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "d2m":
            raise
        raise BadConfig(f"the page needs the package {error.name}; install it with: pip install 'd2m[web]'.") from error
    model = _model(options)
    limits = UploadLimits(options.max_mb, options.max_seconds)
    serve(model, options.host, options.port, limits)


def _outputs(options: argparse.Namespace) -> list[Path]:
    """Names of all takes, best first: `out.mp4`, `out_take2.mp4`, …; checked before any work is done."""
    first: Path = options.out or options.clip.with_name(f"{options.clip.stem}_music.mp4")
    if first.suffix.lower() not in (".mp4", ".wav"):
        raise BadConfig(f"{first}: expected a name that ends in .mp4 or .wav.")
    outs = [first] + [first.with_name(f"{first.stem}_take{n}{first.suffix}") for n in range(2, options.takes + 1)]
    written = [*outs, options.poster] if options.poster else outs
    if options.poster and options.poster.suffix.lower() not in (".png", ".gif"):
        raise BadConfig(f"{options.poster}: expected a poster that ends in .png or .gif.")
    for path in written:
        if path.exists() and (path.is_dir() or path.samefile(options.clip)):
            raise BadConfig(f"{path}: is {'a folder' if path.is_dir() else 'the clip itself'}; name another output.")
        if path.exists() and not options.force:
            raise BadConfig(f"{path}: exists already; name another output with -o, or say --force to overwrite it.")
        writable_folder(path.parent)
    return outs


def _check_genre(genre: str | None) -> None:
    if genre is not None and genre not in GENRES:
        listed = ", ".join(f"{code} ({GENRE_TITLES[code]})" for code in GENRES)
        raise BadConfig(f"--genre {genre}: unknown, expected one of {listed}.")


def _model(options: argparse.Namespace) -> Any:
    """The `Dance2Music`, with the settings that both commands know."""
    from d2m.pipeline import Dance2Music

    settings = {"steps": options.steps, "guidance": options.guidance, "key": options.key}
    settings |= {"songs": None if options.songs is None else str(options.songs)}
    return Dance2Music.load(_checkpoint(options), None, options.device, options.precision, settings=settings)


def _checkpoint(options: argparse.Namespace) -> str:
    return options.checkpoint or ("demo" if options.songs is None else "retrieval")


def _check_model(checkpoint: str) -> None:
    from d2m.core.checkpoint import WEIGHTS

    if not list(WEIGHTS.glob("*.safetensors")) and not Path(checkpoint).is_file():
        raise BadConfig(
            f"no model is installed: {WEIGHTS} holds no weights; install d2m again from its whole repository, or name a "
            "model that you trained with --checkpoint FILE."
        )


def _print_takes(takes: list, outs: list[Path], asked_bpm: float | None) -> None:
    for take, out in zip(takes, outs, strict=True):
        heard = f"{take.tempo_bpm:.0f} BPM" if take.tempo_bpm else "no tempo heard"
        if asked_bpm is not None:
            heard += f" (asked {asked_bpm:g}, the dance has {take.dance_tempo_bpm:.0f})"
        print(
            f"{out}: {take.music.seconds:.1f} s of {GENRE_TITLES[take.genre]} ({take.genre}), {heard}, seed {take.seed}, "
            f"alignment {take.alignment:.2f}"
        )
        if passage := take.settings.get("passage"):
            print(
                f"  {passage['song']} from {passage['from_s']:.1f} to {passage['to_s']:.1f} s, {passage['stretch']:.1%} of its length"
            )


class _Bars:
    """One progress bar for each stage, on stderr; none where that is not a terminal."""

    def __init__(self, is_quiet: bool) -> None:
        self.disable: bool | None = True if is_quiet else None
        self.stage, self.bar = "", None

    def __enter__(self) -> "_Bars":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, stage: str, share: float) -> None:
        """Move the stage's bar to a share from 0 to 1."""
        if self.bar is None or stage != self.stage:
            if self.bar is not None:
                self.bar.close()
            self.stage = stage
            form = "{desc:<10} {percentage:3.0f}%|{bar:30}| {elapsed}, {remaining} left"
            self.bar = tqdm(total=1.0, desc=stage, bar_format=form, disable=self.disable)
        self.bar.n = min(max(share, 0.0), 1.0)
        self.bar.refresh()


if __name__ == "__main__":
    sys.exit(main())
