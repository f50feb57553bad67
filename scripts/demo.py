"""The whole path: held-out dances in, music, videos, scores and a report out. `make demo` runs it."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder's evaluate.py would hide the package `evaluate`

import hydra  # noqa: E402
from omegaconf import DictConfig, OmegaConf  # noqa: E402

from d2m.batch_generation import generate_all  # noqa: E402
from d2m.console import user_errors_exit  # noqa: E402
from d2m.dance import Dance  # noqa: E402
from d2m.data.procedural.write import write_data_set  # noqa: E402
from d2m.files import writable_folder, written_whole  # noqa: E402
from d2m.generate import Dance2Music  # noqa: E402
from d2m.music import Music  # noqa: E402
from d2m.render.skeleton import render_dance  # noqa: E402
from evaluate.report import write_report  # noqa: E402
from evaluate.roundtrip import round_trip_folder  # noqa: E402
from evaluate.scores import score_folders  # noqa: E402
from evaluate.tables import genre_table, protocol_table, summary_table  # noqa: E402


@hydra.main(version_base="1.3", config_path="../configs", config_name="demo")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Data, music, videos, scores, report."""
    out = writable_folder(config.out)
    with written_whole(out / "config.yaml") as temporary:
        OmegaConf.save(config, temporary)
    layout = write_data_set(out / "data", splits=list(config.splits))
    names = [name for split in config.splits for name in layout.names(split)[:: config.every]]
    model = Dance2Music.load(config.checkpoint)
    result = generate_all(model, [layout.motion(n) for n in names], out / "music", config.seed, steps=config.steps)
    roundtrip = round_trip_folder(model.composer.dmae, out / "music", layout.root / "wavs", out / "roundtrip")
    scores = score_folders(out / "music", layout.root / "wavs", layout.root / "motions", roundtrip=roundtrip)
    scores.write(out)
    table = scores.to_json()
    heard = {clip["clip"]: clip for clip in table["clips"]}
    videos: dict[str, Path] = {}
    for path, wav in result.wavs.items():
        dance = Dance.load(path)
        if len(videos) < config.videos and dance.genre not in {name[:3] for name in videos}:
            videos[wav.stem] = out / "videos" / f"{wav.stem}.mp4"
            beats = heard[wav.stem]["beats_s"]
            render_dance(dance, Music.load(wav), videos[wav.stem], title=f"{dance.name}", beats_s=beats)
    report = write_report(table, dict(scores.audio), out, dict(scores.dances), videos)
    print("\n\n".join((genre_table(table), protocol_table(table), summary_table(table))) + f"\n\nopen {report}")


if __name__ == "__main__":
    main()
