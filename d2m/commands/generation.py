"""Commands that make music: sample, demo, trial, pareto."""

import sys
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from d2m.core.errors import BadConfig, require_settings
from d2m.core.files import atomic_write, writable_folder

_SAMPLE_OWN_KEYS = (
    "checkpoint",
    "dance",
    "out",
    "genre",
    "seed",
    "autoencoder",
    "threads",
    "device",
    "precision",
    "compile",
    "tempo",
    "beats",
    "shift",
    "fps",
    "up",
    "person",
)


def sample(config: DictConfig) -> None:
    """Make music for every dance that `dance=` names; status 2 when some dance failed."""
    from d2m.core.aist_names import GENRES
    from d2m.motion.dance import list_dances
    from d2m.motion.readers import SUFFIXES, read_recording

    require_settings(
        config,
        {"dance": "a dance file, folder or glob", "out": "the folder for the music"},
        "python scripts/sample.py dance=FILE|FOLDER|GLOB out=DIR",
    )
    if config.genre is not None and config.genre not in GENRES:
        raise BadConfig(f"genre={config.genre}: unknown; expected one of {', '.join(GENRES)}.")
    hints = _hints(config)
    beats, paths = _beats_asked(config), list_dances(config.dance)
    # a single file, of a kind that is not read: no model is loaded to say so
    if paths[0].suffix.lower() not in SUFFIXES:
        read_recording(paths[0], hints)

    import torch

    from d2m.pipeline import Dance2Music, generate_all  # slow to import: most mistakes have been told before

    if config.threads:
        torch.set_num_threads(config.threads)
    model = Dance2Music.load(config.checkpoint, config.autoencoder, config.device, config.precision, config.compile)
    out = writable_folder(config.out)
    asked: Any = OmegaConf.to_container(config, resolve=True)
    settings = {key: value for key, value in asked.items() if key not in _SAMPLE_OWN_KEYS and value is not None}
    settings |= beats
    result = generate_all(model, paths, Path(out), config.seed, config.genre, hints=hints, **settings)
    print(f"{len(result.wavs)} of {len(paths)} dances have music in {out}")
    for sentence in dict.fromkeys(result.failed.values()):
        print(f"error: {sentence}", file=sys.stderr)
    if result.failed:
        sys.exit(2)


def _hints(config: DictConfig) -> Any:
    """What `fps=`, `up=` and `person=` say of the motion files.

    Raises:
        BadConfig: for what cannot be.
    """
    from d2m.motion.readers import Hints

    kinds = {"fps": (int | float, "a number, such as 29.97"), "up": (str, "y or z"), "person": (int, "a whole number")}
    for key, (kind, expected) in kinds.items():
        if config[key] is not None and not isinstance(config[key], kind):
            raise BadConfig(f"{key}={config[key]}: expected {expected}.")
    return Hints(config.fps, config.up, config.person)


def _beats_asked(config: DictConfig) -> dict[str, Any]:
    """What `tempo=`, `beats=` and `shift=` say, as `Dance2Music.generate` takes it.

    Raises:
        BadConfig: for a tempo or shift that is no number, beats that are no name of a file, and what `BeatChoice` refuses.
    """
    from d2m.rhythm.choice import BeatChoice

    for key, example in (("tempo", "118"), ("shift", "0.5")):
        if config[key] is not None and (isinstance(config[key], bool) or not isinstance(config[key], int | float)):
            raise BadConfig(f"{key}={config[key]}: expected a number, such as {example}.")
    if not isinstance(config.beats, str | None):
        raise BadConfig(f"beats={config.beats}: expected the name of a file or folder.")
    asked = {"tempo_bpm": config.tempo, "beats": config.beats, "shift_beats": config.shift}
    asked = {name: value for name, value in asked.items() if value is not None}
    BeatChoice(**asked)
    return asked


def demo(config: DictConfig) -> None:
    """The whole path on held-out dances: data, music, videos, scores, report; says where the first music is."""
    from tqdm import tqdm

    from d2m.core.music import Music
    from d2m.data.synthetic.write import write_data_set
    from d2m.evaluation.report.page import write_report
    from d2m.evaluation.runs import round_trip_folder
    from d2m.evaluation.scores import score_folders
    from d2m.evaluation.tables import genre_table, protocol_table, summary_table
    from d2m.motion.dance import Dance
    from d2m.pipeline import Dance2Music, generate_all
    from d2m.render.skeleton import render_dance

    started = time.monotonic()
    out = writable_folder(config.out)
    with atomic_write(out / "config.yaml") as temporary:
        OmegaConf.save(config, temporary)
    layout = write_data_set(out / "data", splits=list(config.splits))
    names = [name for split in config.splits for name in layout.names(split)[:: config.every]]
    model = Dance2Music.load(config.checkpoint)
    first: list[Path] = []

    def say_first(dance: Dance, wav: Path) -> None:
        if not first:
            tqdm.write(f"first music after {time.monotonic() - started:.0f} s, listen: {wav.resolve()}")
            first.append(wav)

    motions = [layout.motion(name) for name in names]
    result = generate_all(model, motions, out / "music", config.seed, on_wav=say_first, steps=config.steps)
    dmae = getattr(model.music_generator, "dmae", None)  # the ceiling "through the autoencoder", where there is one
    roundtrip = dmae and round_trip_folder(dmae, out / "music", layout.root / "wavs", out / "roundtrip")
    scores = score_folders(out / "music", layout.root / "wavs", layout.root / "motions", roundtrip=roundtrip)
    scores.write(out)
    table = scores.to_json()
    by_name = {clip["clip"]: clip for clip in table["clips"]}
    videos: dict[str, Path] = {}
    for path, wav in result.wavs.items():
        dance = Dance.load(path)
        if len(videos) < config.videos and dance.genre not in {name[:3] for name in videos}:
            videos[wav.stem] = out / "videos" / f"{wav.stem}.mp4"
            beats = by_name[wav.stem]["beats_s"]
            render_dance(dance, Music.load(wav), videos[wav.stem], title=f"{dance.name}", beats_s=beats)
    report = write_report(table, dict(scores.audio), out, dict(scores.dances), videos)
    print("\n\n".join((genre_table(table), protocol_table(table), summary_table(table))) + f"\n\nopen {report}")


def trial(config: DictConfig) -> None:
    """Train a system within its budget, score it on held-out dances, print the table; `beside=[DIR,…]` adds earlier trials."""
    import torch

    from d2m.evaluation.trials import Trial, load_trial, run_trial, trial_table

    if config.threads:
        torch.set_num_threads(config.threads)
    name = config.name or config.what or config.checkpoint or "trial"
    out = Path(config.out or f"outputs/trials/{Path(str(name)).stem}")
    settings = OmegaConf.to_container(config.settings, resolve=True)
    assert isinstance(settings, dict)
    overrides = [*config.train, *([f"threads={config.threads}"] if config.threads else [])]
    trial = Trial(
        name=str(name),
        out=out,
        roots={str(split): Path(root) for split, root in config.roots.items()},
        experiment=config.what,
        overrides=overrides,
        checkpoint=config.checkpoint,
        settings={str(key): value for key, value in settings.items()},
        seed=config.seed,
        clips=config.clips,
    )
    table = trial_table([*(load_trial(Path(folder)) for folder in config.beside), run_trial(trial)])
    for file, text in (("table.md", table), ("config.yaml", OmegaConf.to_yaml(config, resolve=True))):
        with atomic_write(out / file) as temporary:
            temporary.write_text(text)
    print("\n" + table)


def pareto(config: DictConfig) -> None:
    """Make music for a split under every setting of the config, score it, write pareto.json, .csv, .md and .png.

    Run again, it goes on where it stopped.
    """
    import torch

    require_settings(
        config,
        {"root": "a data set", "out": "folder"},
        "python scripts/pareto.py checkpoint=demo root=data/val out=DIR",
    )
    from d2m.evaluation.pareto import Setting, Sweep, run_sweep, write_pareto

    if config.threads:
        torch.set_num_threads(config.threads)
    asked = OmegaConf.to_container(config.settings, resolve=True)
    assert isinstance(asked, list)
    known = set(Setting.__dataclass_fields__)
    for setting in asked:
        if not isinstance(setting, dict) or set(setting) - known:
            raise BadConfig(f"settings: found {setting}, expected some of {{{', '.join(sorted(known))}}}.")
    settings, out = [Setting(**setting) for setting in asked], Path(config.out)
    chosen = {key: config[key] for key in ("checkpoint", "split", "clips", "seed")}
    rows = run_sweep(Sweep(settings=settings, root=Path(config.root), out=out, more=list(config.more), **chosen))
    print("\n" + write_pareto(rows, out))
    print(f"wrote {out / 'pareto.json'}, .csv, .md and .png")
