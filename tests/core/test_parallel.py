"""The map over processes: all results, errors passed on, a process that dies named."""

import os

import pytest

from d2m.core.errors import BadConfig, BadInput
from d2m.core.parallel import parallel_map


def _square(number: int) -> tuple[int, str]:
    return number**2, os.environ["OMP_NUM_THREADS"]


def _refuse(number: int) -> int:
    raise BadInput(f"number {number}")


def _die(number: int) -> int:
    os._exit(3)


@pytest.mark.parametrize("processes", [1, 2])
def test_every_job_has_its_result(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers use one thread each: PyTorch looks there when it is imported."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    results = parallel_map(_square, range(20), processes, "squaring")
    assert sorted(square for square, _ in results) == [number**2 for number in range(20)]
    assert processes == 1 or {threads for _, threads in results} == {"1"}
    assert parallel_map(_square, [], processes, "squaring") == []


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_passed_on(processes: int) -> None:
    with pytest.raises(BadInput, match="number"):
        parallel_map(_refuse, range(100), processes, "refusing")


def test_a_process_that_dies_is_said() -> None:
    with pytest.raises(BadConfig, match="a worker process died"):
        parallel_map(_die, [1, 2], 2, "dying")
