"""What users mistype on a command line is answered with the key that they meant."""

import re
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig

from d2m.commands.generation import sample
from d2m.commands.overrides import run_checked
from d2m.core.errors import BadConfig

CONFIGS = Path(__file__).parents[2] / "configs"
if not CONFIGS.is_dir():
    CONFIGS = Path(__file__).parents[2] / "d2m" / "configs"


def composed(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> DictConfig:
    """The configuration that a command is called with."""
    found: list[DictConfig] = []
    monkeypatch.setattr(sys, "argv", [f"d2m {name}", *arguments])
    run_checked(found.append, name, CONFIGS)
    return found[0]


REFUSED = [
    ("train", ["experiment=demo", "lr=1e-4"], r"lr: no such key; system\.optimization\.lr= is the nearest"),
    ("train", ["experiment=demo", "+lr=1e-4"], r"lr: no such key; system\.optimization\.lr= is the nearest"),
    ("train", ["experiment=demo", "++lr=1e-4"], r"lr: no such key; system\.optimization\.lr= is the nearest"),
    ("train", ["experiment=demo", "+unknown=1"], r"unknown: no such key"),
    ("train", ["experiment=demo", "system.optimisation.lr=1"], r"system\.optimization\.lr="),
    ("train", ["experiment=demo", "+seed=3"], r"seed: the key exists already; say seed= without"),
    ("train", ["experiment=dmo"], r"experiment=dmo: no such file; choose one of .*demo"),
    ("train", [], r"experiment= is missing; choose one of .*demo"),
    ("train", ["experiment=demo", "seed=-1"], r"seed=-1: expected a whole number from 0"),
    ("train", ["experiment=demo", "seed=2.5"], r"seed=2\.5: expected a whole number"),
    ("train", ["experiment=demo", "seed=4294967296"], r"seed=4294967296: expected a whole number from 0 to 4294967295"),
    ("sample", ["dance=a", "out=b", "seed=12345678901234567890123"], r"seed=12345678901234567890123: expected a whole"),
    ("sample", ["dance=a", "out=b", "threads=0"], r"threads=0: expected a whole number from 1"),
    ("sample", ["dance=a", "out=b", "chekpoint=demo"], r"chekpoint: no such key; checkpoint= is the nearest"),
    ("evaluate", ["generated=a", "refrence=b", "out=c"], r"refrence: no such key; reference= is the nearest"),
    ("evaluate", ["generated=a", "+refrence=b", "out=c"], r"refrence: no such key; reference= is the nearest"),
    ("prepare", ["dataset=nothing"], r"dataset=nothing: no such file; choose one of aistpp"),
    ("encode", ["root=a b{"], r"the command line: .*"),
]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("fps=fast", "fps=fast: expected a number"),
        ("fps=0", "fps=0: expected frames per second, a number from 1 to 1000"),
        ("up=x", "up=x: expected the axis that points up in the file, y or z"),
        ("person=one", "person=one: expected a whole number"),
    ],
)
def test_hints_about_motion_files_that_cannot_be(monkeypatch: pytest.MonkeyPatch, argument: str, expected: str) -> None:
    config = composed(monkeypatch, "sample", "dance=a", "out=b", argument)
    with pytest.raises(BadConfig, match=expected):
        sample(config)


@pytest.mark.parametrize("name, arguments, expected", REFUSED, ids=[" ".join([n, *a]) for n, a, _ in REFUSED])
def test_refused_in_one_sentence(
    name: str, arguments: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as end:
        composed(monkeypatch, name, *arguments)
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1, said
    assert re.match(f"error: .*{expected}", said), said
    assert "+lr" not in said


def test_what_takes_any_key_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(
        monkeypatch, "train", "experiment=demo", "+trainer.limit_val_batches=2", "++seed=4", "++data.workers=1"
    )
    assert config.trainer.limit_val_batches == 2 and config.seed == 4
    assert composed(monkeypatch, "sample", "dance=a", "out=b", "+volume=2").volume == 2
    callback = "+callbacks.stop={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/loss}"
    assert composed(monkeypatch, "train", "experiment=demo", callback).callbacks.stop.monitor == "val/loss"


@pytest.mark.parametrize(
    "name",
    ["a=b.npz", "my, dance.npz", "take [2].npz", "{x}.npz", "it's (1).npz", 'so "called".npz', "a b.npz", "ü~1.npz",
     "[x], y.npz", "back\\slash\\"],
)  # fmt: skip
def test_a_file_of_any_name_is_a_value(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for written in (name, str(tmp_path / name)):
        config = composed(monkeypatch, "sample", f"dance={written}", "out=music = new, (2)")
        assert (config.dance, config.out) == (written, "music = new, (2)")


def test_what_is_no_file_is_read_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = composed(monkeypatch, "sample", "dance='a b.npz'", "out=b", "seed=3", "genre=null", "+sampler=ddim")
    assert (config.dance, config.seed, config.genre, config.sampler) == ("a b.npz", 3, None, "ddim")


def test_a_file_that_is_no_dance_is_refused_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from d2m.commands.generation import sample
    from d2m.pipeline import Dance2Music

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(Dance2Music, "load", refuse)
    (tmp_path / "walk.fbx").write_bytes(b"x")
    monkeypatch.setattr(sys, "argv", ["d2m sample", f"dance={tmp_path / 'walk.fbx'}", f"out={tmp_path / 'music'}"])
    with pytest.raises(SystemExit) as ended:
        run_checked(sample, "sample", CONFIGS)
    assert ended.value.code == 2 and "found a '.fbx' file" in capsys.readouterr().err
