"""The whole path: held-out dances in, music, videos, scores and a report out. `make demo` runs it."""

from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from d2m.core.errors import user_errors_exit
from d2m.core.files import atomic_write, writable_folder
from d2m.core.music import Music
from d2m.data.synthetic.write import write_data_set
from d2m.evaluation.report.page import write_report
from d2m.evaluation.runs import round_trip_folder
from d2m.evaluation.scores import score_folders
from d2m.evaluation.tables import genre_table, protocol_table, summary_table
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music, generate_all
from d2m.render.skeleton import render_dance


@hydra.main(version_base="1.3", config_path="../configs", config_name="demo")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Data, music, videos, scores, report."""
    out = writable_folder(config.out)
    with atomic_write(out / "config.yaml") as temporary:
        OmegaConf.save(config, temporary)
    layout = write_data_set(out / "data", splits=list(config.splits))
    names = [name for split in config.splits for name in layout.names(split)[:: config.every]]
    model = Dance2Music.load(config.checkpoint)
    result = generate_all(model, [layout.motion(n) for n in names], out / "music", config.seed, steps=config.steps)
    roundtrip = round_trip_folder(model.music_generator.dmae, out / "music", layout.root / "wavs", out / "roundtrip")
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
