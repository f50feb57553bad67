"""Shape and type annotations are checked at run time in every test; what several test files need is built here."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
install_import_hook(["d2m"], "beartype.beartype")

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
