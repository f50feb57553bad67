"""Shape and type annotations are checked at run time in every test; what several test files need is built here."""

import ast
import functools
import gc
import json
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, get_args

import jaxtyping
import numpy as np
import pytest
from beartype import beartype

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["D2M_CACHE"] = tempfile.mkdtemp(prefix="d2m-tests-")
_jaxtyped, _ArrayType = jaxtyping.jaxtyped, type(jaxtyping.Float[np.ndarray, "time"])


ALL_CHECKED, ONE_CHECKED_OF = 50, 20
"""So many calls of a function are checked in each test, and of those after them every so-and-so-many-th."""
_test = [0]


def pytest_runtest_setup() -> None:
    """Another test begins, with the random numbers that it has also when it is run alone."""
    import torch

    _test[0] += 1
    torch.manual_seed(0)


def _has_shapes(hint: Any) -> bool:
    """Whether an annotation holds an array's shape; text is taken to."""
    if isinstance(hint, list | tuple):
        return any(map(_has_shapes, hint))
    return isinstance(hint, _ArrayType | str) or any(map(_has_shapes, get_args(hint)))


def _checked(*found: Any, typechecker: Any = None) -> Any:
    """`jaxtyping.jaxtyped` of the import hook, which checks the same in a tenth of the time.

    Its own way makes two more functions of each function, and binds every call's arguments also where there is no shape.
    """

    def decorate(function: Any) -> Any:
        if not isinstance(function, FunctionType):
            return _jaxtyped(function, typechecker=typechecker)

        @functools.cache
        def checking() -> Callable:
            """Made at the first call: most tests call few functions."""
            checked = beartype(function)
            has_shapes = _has_shapes(list(function.__annotations__.values()))
            return _jaxtyped(checked, typechecker=None) if has_shapes else checked

        calls = [0, 0]  # the test that they are of, how many

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            calls[:] = (_test[0], calls[1] + 1 if calls[0] == _test[0] else 1)
            often = calls[1] > ALL_CHECKED and calls[1] % ONE_CHECKED_OF
            return (function if often or jaxtyping.config.jaxtyping_disable else checking())(*args, **kwargs)

        return called

    return decorate(*found) if found else decorate


jaxtyping.jaxtyped = _checked


def _in_bodies(self: Any, node: ast.AST) -> None:
    """`generic_visit` of the import hook that does not look for definitions in expressions, where there are none."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            self.visit(child)


jaxtyping._import_hook.JaxtypingTransformer.generic_visit = _in_bodies
jaxtyping.install_import_hook(["d2m"], "beartype.beartype")

LONGEST = (
    "test_web_page", "test_whole_path", "test_textual_inversion", "test_training_resume", "test_data_videos",
    "test_benchmark", "test_data_aistpp", "test_training_distributed", "test_training_run", "test_views",
    "test_evaluate_scores", "test_systems_batched", "test_systems_editing", "test_codec_transformer", "test_system",
    "test_cli", "test_generate", "test_wavenet", "test_training_beats",
)  # fmt: skip
"""Files whose tests take long, the longest first: started first, so that no process works on one while the other is done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`LONGEST` first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_collection_finish() -> None:
    """What is loaded now stays loaded: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """PyTorch uses two threads at most."""
    import torch

    torch.set_num_threads(min(2, torch.get_num_threads()))


CLIPS = ("gBR_sBM_cAll_d04_mBR0_ch02", "gHO_sBM_cAll_d20_mHO5_ch02")
CLIP_SECONDS = 8.0


@pytest.fixture(scope="session")
def two_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two sequences in AIST++'s own layout; both are in every split."""
    from d2m.core.aist_names import parse_sequence_name
    from d2m.core.music import Music
    from d2m.data.synthetic.dances import choreograph
    from d2m.data.synthetic.songs import Song, render_song

    root = tmp_path_factory.mktemp("two_clips")
    for folder in ("motions", "wavs", "beats", "scores", "splits"):
        (root / folder).mkdir()
    for number, name in enumerate(CLIPS):
        parts = parse_sequence_name(name)
        assert parts is not None
        song = render_song(Song(parts.song), CLIP_SECONDS)
        dance = choreograph(parts.genre, song.beats_s, 0, CLIP_SECONDS, dancer=4, seed=number)
        content = {
            "smpl_poses": dance.poses,
            "smpl_trans": dance.trans,
            "smpl_scaling": np.ones(1, np.float32),
            "smpl_loss": np.zeros(1, np.float32),
        }
        (root / "motions" / f"{name}.pkl").write_bytes(pickle.dumps(content))
        Music(song.waveform, song.sample_rate).save(root / "wavs" / f"{name}.wav")
        np.savetxt(root / "beats" / f"{name}.txt", song.beats_s, fmt="%.6f")
        bars = zip(song.downbeats_s.tolist(), song.chords, strict=False)
        score = {"key": song.key, "bars": [{"start_s": at_s, "chord": chord, "energy": 0.5} for at_s, chord in bars]}
        (root / "scores" / f"{name}.json").write_text(json.dumps(score))
    for split in ("train", "val", "test"):
        (root / "splits" / f"crossmodal_{split}.txt").write_text("\n".join(CLIPS) + "\n")
    return root
