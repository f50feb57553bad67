"""Shape and type annotations are checked at run time in every test; what several test files need is built here."""

import functools
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, get_args

import jaxtyping
import numpy as np
import pytest
import torch
from beartype import beartype

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
_jaxtyped, _ArrayType = jaxtyping.jaxtyped, type(jaxtyping.Float[np.ndarray, "time"])


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

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            return (function if jaxtyping.config.jaxtyping_disable else checking())(*args, **kwargs)

        return called

    return decorate(*found) if found else decorate


jaxtyping.jaxtyped = _checked
jaxtyping.install_import_hook(["d2m"], "beartype.beartype")

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
    for folder in ("motions", "wavs", "beats", "splits"):
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
    for split in ("train", "val", "test"):
        (root / "splits" / f"crossmodal_{split}.txt").write_text("\n".join(CLIPS) + "\n")
    return root
