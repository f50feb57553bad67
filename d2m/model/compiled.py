"""How loops for a CPU are compiled, and on how many threads they run.

What is inlined stands in the file of the loop that uses it: numba's cache watches that file alone.
"""

import ctypes
import inspect
import threading
from functools import partial
from pathlib import Path

import numba
import torch
from numba import njit

_LOOSE = {"reassoc", "contract", "nsz", "arcp"}


def _compiled(function, **options):
    # type checks may have put a wrapper around the function
    return njit(**options)(inspect.unwrap(function))


one_thread = partial(_compiled, fastmath=_LOOSE, error_model="numpy", cache=True)
loop = partial(one_thread, parallel=True)
part = partial(_compiled, fastmath=_LOOSE, error_model="numpy", inline="always")


def _share_pytorchs_threads() -> None:
    # numba's loops then run on the threads of PyTorch's OpenMP; two pools would wait for each other's processors
    for library in Path(torch.__file__).parent.glob("lib/libgomp*.so*"):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


_share_pytorchs_threads()
_told = threading.local()


def use_threads(number: int) -> None:
    """Run the loops that this thread of the program starts on so many threads, as far as numba has them."""
    if getattr(_told, "number", None) != number:  # to tell numba takes as long as a small loop
        numba.set_num_threads(max(1, min(number, numba.config.NUMBA_NUM_THREADS)))
        _told.number = number
