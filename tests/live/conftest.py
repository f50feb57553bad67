"""A dance, and what follows it with one step of generation."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from tests_support_live import SECONDS

from d2m.data.synthetic.dances import choreograph
from d2m.live.blocks import BlockGenerator
from d2m.live.performance import Live, LiveFrame, LiveState
from d2m.live.session import of_dance
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.rhythm.causal_reader import load_causal_reader


@pytest.fixture(scope="session")
def dance_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    poses = choreograph("gHO", np.arange(0, SECONDS + 1, 0.5), 0, SECONDS, dancer=3, seed=1)
    path = tmp_path_factory.mktemp("live") / "a.pkl"
    content = {"smpl_poses": poses.poses, "smpl_trans": poses.trans, "smpl_scaling": np.ones(1, np.float32)}
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture(scope="session")
def dance(dance_file: Path) -> Dance:
    return Dance.load(dance_file)


@pytest.fixture(scope="session")
def live() -> Live:
    model = Dance2Music.load("demo_fast", settings={"steps": 1})
    return Live(BlockGenerator(model, seed=5), load_causal_reader("causal_rhythm_reader"), "gHO")


@pytest.fixture(scope="session")
def frames(dance: Dance) -> list[LiveFrame]:
    return [sight.frame for sight in of_dance(dance)]


@pytest.fixture(scope="session")
def danced(live: Live, frames: list[LiveFrame]) -> LiveState:
    """After the whole dance."""
    return live.step(live.begin(), frames)[0]
