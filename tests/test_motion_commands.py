"""`d2m inspect` and `d2m convert`: what they tell, and that a converted dance is the same dance."""

import json

import numpy as np
import pytest
from PIL import Image
from tests_support_formats import DANCE, FPS, FRAMES, write_layout

from d2m.cli import main
from d2m.motion.readers import read_recording
from d2m.motion.smpl import joint_positions


def refused(capsys, *arguments: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    assert stopped.value.code == 2 and shown.err.count("\n") == 1 and shown.err.startswith("error: ")
    return shown.err


def test_inspect_tells_what_a_folder_holds(tmp_path, capsys):
    for name, file in (("edge", "b.pkl"), ("smpl-h 156", "a.npz"), ("gvhmr", "c.pt")):
        write_layout(tmp_path, name)[0].rename(tmp_path / file)
    assert main(["inspect", str(tmp_path), "--json"]) == 2  # one asks for its rate
    told = json.loads(capsys.readouterr().out)
    assert [one.get("format") for one in told] == ["amass", "edge", None] and "fps=" in told[2]["error"]
    assert told[1]["frames"] == FRAMES and told[1]["fps"] == FPS and told[1]["seconds"] == 3 and told[1]["up"] == "z"
    assert 1.2 < told[1]["height_m"] < 1.9 and told[1]["missing"] == 0
    assert told[1]["decisions"] == ["Z up, as EDGE writes", "30 fps, as EDGE writes"]
    assert main(["inspect", str(tmp_path / "c.pt"), "--fps", "30"]) == 0
    shown = capsys.readouterr().out
    assert "c.pt: gvhmr, 90 frames at 30 fps, 3.00 s, Y up" in shown and "30 fps as asked" in shown


def test_inspect_draws(tmp_path, capsys):
    path, _ = write_layout(tmp_path, "edge")
    assert main(["inspect", str(path), "--figure", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 2 * picture.height
    assert "shows one dance" in refused(capsys, "inspect", path, path, "--figure", tmp_path / "b.png")


@pytest.mark.parametrize("suffix", [".npz", ".pkl", ".bvh"])
def test_convert_keeps_the_dance(tmp_path, capsys, suffix):
    path, hints = write_layout(tmp_path, "tram .pt")
    out = tmp_path / f"out{suffix}"
    assert main(["convert", str(path), str(out), "--fps", str(hints["fps"])]) == 0
    assert "from tram" in capsys.readouterr().out
    recording = read_recording(out)
    motion, every = recording.motion, round(recording.fps / FPS)
    found = joint_positions(motion.rotations, motion.translation)[::every]
    np.testing.assert_allclose(found, joint_positions(DANCE.rotations, DANCE.translation), atol=1e-4)
    assert "exists already" in refused(capsys, "convert", path, out)


def test_convert_refuses_what_it_cannot_write(tmp_path, capsys):
    path, _ = write_layout(tmp_path, "edge")
    assert "expected .npz, .pkl, .bvh" in refused(capsys, "convert", path, tmp_path / "a.fbx")
    assert "no such file" in refused(capsys, "convert", tmp_path / "none.pkl", tmp_path / "a.npz")
    assert "the file itself" in refused(capsys, "convert", path, path)
