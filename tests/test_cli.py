"""The command `d2m`: what it writes, what it says, and that every mistake is one sentence and status 2."""

import shutil
import subprocess
import sys

import pytest

from d2m.cli import main
from d2m.core import checkpoint
from d2m.core.music import Music
from d2m.pipeline import Dance2Music

CLIP = "gHO_sBM_cAll_d20_mHO5_ch02"


@pytest.fixture
def dance(two_clips, tmp_path):
    return shutil.copy(two_clips / "motions" / f"{CLIP}.pkl", tmp_path / 'it\'s "a=b", Zoë 舞.pkl')


def refused(capsys, *arguments: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    assert stopped.value.code == 2 and shown.err.count("\n") == 1 and shown.err.startswith("error: ")
    return shown.err


def test_takes_are_written_under_names_with_anything_in_them(dance, tmp_path, capsys):
    out = tmp_path / "ein Lied, 'laut=ja' ü.wav"
    assert main([str(dance), "-o", str(out), "--takes", "2", "--seed", "5", "--steps", "2"]) == 0
    wavs = sorted(path.name for path in tmp_path.glob("*.wav"))
    assert wavs == sorted([out.name, "ein Lied, 'laut=ja' ü_take2.wav"])
    assert Music.load(out).seconds == pytest.approx(8, abs=0.01)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and str(out) in lines[0] and "(gHO)" in lines[0] and "BPM" in lines[0]
    scores = [float(line.rsplit(" ", 1)[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert sorted(line.split("seed ")[1].split(",")[0] for line in lines) == ["5", "6"]


def test_steps_and_guidance_are_those_asked_for(dance, tmp_path, monkeypatch):
    made = []
    generate = Dance2Music.generate

    def noted(self, *arguments, **settings):
        pair = generate(self, *arguments, **settings)
        made.append(pair[1].settings)
        return pair

    monkeypatch.setattr(Dance2Music, "generate", noted)
    options = ["--device", "cpu", "--precision", "exact", "--steps", "2", "--guidance", "1.5"]
    assert main([str(dance), "-o", str(tmp_path / "a.wav"), *options]) == 0
    assert (made[0]["steps"], made[0]["guidance"], made[0]["device"]) == (2, 1.5, "cpu")


def test_tempo_is_told(dance, tmp_path, capsys):
    assert main([str(dance), "-o", str(tmp_path / "a.wav"), "--tempo", "118"]) == 0
    assert "(asked 118, the dance has 135)" in capsys.readouterr().out


def test_outputs_are_not_overwritten_unless_forced(dance, tmp_path, capsys):
    out = tmp_path / "a_take2.wav"
    out.write_text("mine")
    assert "exists already" in refused(capsys, dance, "-o", tmp_path / "a.wav", "--takes", "2")
    assert out.read_text() == "mine" and not (tmp_path / "a.wav").exists()
    assert main([str(dance), "-o", str(out), "--force", "--steps", "1"]) == 0
    assert Music.load(out).seconds > 7


def test_clip_itself_is_never_overwritten(tmp_path, capsys):
    clip = tmp_path / "a.mp4"
    clip.write_text("mine")
    assert "the clip itself" in refused(capsys, clip, "-o", clip, "--force")
    assert clip.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.mp4"], "none.mp4: no such file"),
        (["DANCE", "--genre", "jazz"], "gHO (house)"),
        (["DANCE", "--tempo", "12", "-o", "OUT.wav"], "40 to 240"),
        (["DANCE", "--tempo", "fast"], "--tempo"),
        (["DANCE", "--takes", "0"], "from 1 to 64"),
        (["DANCE", "--steps", "2.5"], "whole number from 1 to 1000"),
        (["DANCE", "--guidance", "much"], "from 0 to 100"),
        (["DANCE", "-o", "OUT.wav", "--device", "abacus"], "abacus"),
        (["DANCE", "--seed", "-1"], "whole number"),
        (["DANCE", "-o", "OUT.mp3"], ".mp4 or .wav"),
        (["DANCE", "-o", "OUT.wav", "--poster", "OUT.jpg"], ".png or .gif"),
        (["DANCE", "-o", "OUT.wav", "--checkpoint", "nothing"], "nothing"),
        (["DANCE", "--nonsense"], "--nonsense"),
        (["serve", "--port", "high"], "--port"),
    ],
)
def test_mistakes_are_one_sentence(dance, tmp_path, capsys, arguments, said):
    filled = [str(dance) if a == "DANCE" else a.replace("OUT", str(tmp_path / "out")) for a in arguments]
    assert said in refused(capsys, *filled)
    assert not list(tmp_path.glob("out*"))


def test_text_called_mp4(tmp_path, capsys):
    (tmp_path / "a.mp4").write_text("hello")
    assert "a.mp4" in refused(capsys, tmp_path / "a.mp4", "--quiet")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_no_model_installed_says_what_to_do(dance, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint, "WEIGHTS", tmp_path / "empty")
    said = refused(capsys, dance)
    assert "no model is installed" in said and "--checkpoint" in said


def test_help_is_a_page(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    page = capsys.readouterr().out
    assert stopped.value.code == 0 and max(map(len, page.splitlines())) <= 120
    for word in ("d2m dance.mp4", "--overlay", "song.wav", "gHO house", "serve", "--tempo", "seed"):
        assert word in page
    assert main([]) == 2 and "d2m dance.mp4" in capsys.readouterr().err


def test_module_is_the_command_and_help_loads_no_network():
    code = "import sys; from d2m.cli import main; main([]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-m", "d2m", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("d2m ")
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"
