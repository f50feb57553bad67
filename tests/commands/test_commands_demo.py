"""`make demo`: the first music is said as soon as it can be heard, and everything is there at the end."""

from pathlib import Path

import pytest
from tests_support_runs import script

from d2m.core.music import Music
from d2m.data.layout import DataSetLayout


def test_the_demo_says_where_the_first_music_is(
    two_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def small(root: Path, splits: list[str]) -> DataSetLayout:
        asked.append(splits)
        return DataSetLayout(two_clips)

    monkeypatch.setattr("d2m.data.synthetic.write.write_data_set", small)
    ran = script("demo", f"out={tmp_path}", "steps=1", "videos=1")
    assert ran.returncode == 0, ran.stderr[-2000:]
    first, *lines = ran.stdout.splitlines()
    assert first.startswith("first music after ") and " s, listen: " in first
    wav = Path(first.partition("listen: ")[2])
    assert wav.is_absolute() and wav.parent == tmp_path / "music" and Music.load(wav).seconds == pytest.approx(8.0)
    assert lines[-1] == f"open {tmp_path / 'report.html'}" and (tmp_path / "report.html").is_file()
    assert len(list((tmp_path / "music").glob("*.wav"))) == 2 and len(list((tmp_path / "videos").iterdir())) == 1
    assert asked == [["test"]]  # twenty dances, in minutes
