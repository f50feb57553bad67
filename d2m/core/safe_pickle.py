"""Pickled dicts of numpy arrays, read without trusting them.

An ordinary unpickler imports and calls whatever the file names, so a dance from the internet could run a program.
This one knows the few names with which numpy's arrays and numbers are written (in the spellings of numpy 1 and 2, and
of Python 2), and puts a stand-in of its own in the place of each: not even numpy's own reconstruction is called, since
`numpy.ndarray` itself would wrap any bytes as pointers. Every other name ends the reading before anything is called.
"""

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.errors import BadInput

_NUMERIC_KINDS = "biuf"


@dataclass
class _Dtype:
    """Stands in for `numpy.dtype`: a type code such as `f8`, and its byte order once the state is set."""

    code: str
    byte_order: str = "="

    def __setstate__(self, state: tuple) -> None:
        self.byte_order = state[1]

    def numeric(self) -> np.dtype | None:
        """The dtype where it is a plain number, else None."""
        dtype = np.dtype(self.byte_order + self.code)
        return dtype if dtype.kind in _NUMERIC_KINDS else None


class _Array:
    """Stands in for `numpy.ndarray`; `values` is filled by the state, and stays None where it isn't numeric."""

    values: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.fill(data, dtype, shape, "F" if is_fortran else "C")

    def fill(self, data: object, dtype: _Dtype, shape: tuple, order: str) -> "_Array":
        """Read `data` as numbers; Python 2 wrote bytes as text."""
        numeric = dtype.numeric()
        if numeric is not None:
            raw = data.encode("latin1") if isinstance(data, str) else data
            if not isinstance(raw, bytes | bytearray):
                raise ValueError("an array of numbers without its bytes")
            self.values = np.frombuffer(bytearray(raw), numeric).reshape(shape, order="F" if order == "F" else "C")
        return self


def _empty_array(*_: object) -> _Array:
    return _Array()


def _array_of_buffer(data: object, dtype: _Dtype, shape: tuple, order: str, *_: object) -> _Array:
    return _Array().fill(data, dtype, shape, order)


def _number(dtype: _Dtype, data: object) -> _Array:
    return _Array().fill(data, dtype, (), "C")


def _dtype(code: str, *_: object) -> _Dtype:
    return _Dtype(code)


def _bytes_of_text(text: str = "", *_: object) -> bytes:
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _bytes_of_text,  # how Python 3 writes bytes in protocols 0 to 2 …
    ("__builtin__", "bytes"): _bytes_of_text,  # … and empty ones
    ("builtins", "bytes"): _bytes_of_text,
}
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _empty_array
    _STAND_INS[f"{_core}.multiarray", "scalar"] = _number
    _STAND_INS[f"{_core}.numeric", "_frombuffer"] = _array_of_buffer


class _Forbidden(Exception):
    """The pickle names something that is not a part of a numpy array."""


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise _Forbidden(f"{module}.{name}")
        return _STAND_INS[module, name]


def load_safe_pickle(path: str | Path) -> dict[str, Any]:
    """The dict that a pickle holds, with arrays and numbers of numpy as arrays; nothing of the file is run.

    Arrays of other things than numbers become None.

    Raises:
        BadInput: when the file is no pickle, not a dict, or names anything but numpy's arrays and numbers.
    """
    try:
        with open(path, "rb") as file:
            content = _ArrayUnpickler(file, encoding="latin1").load()
    except _Forbidden as error:
        raise BadInput(
            f"{path}: the pickle asks for {str(error)!r}, expected numpy arrays only; "
            "nothing of it was run, do not trust this file."
        ) from error
    except Exception as error:  # a broken pickle can raise anything: ValueError, EOFError, MemoryError, TypeError …
        raise BadInput(
            f"{path}: not a readable pickle ({type(error).__name__}); download or export the file again."
        ) from error
    if not isinstance(content, dict):
        raise BadInput(
            f"{path}: found a pickled {type(content).__name__}, expected a dict with smpl_poses and smpl_trans; "
            "export the motion in AIST++'s layout."
        )
    return {str(key): value.values if isinstance(value, _Array) else value for key, value in content.items()}


# `.npy` and `.npz` files, read without pickles and without inflating more than a dance can hold.


MAX_INFLATED_BYTES = 2**30
"""An hour of SMPL-X poses at 120 frames per second takes 0.6 GB in float64; an npz is a zip and may hold a bomb."""


def load_numpy(path: Path) -> Any:
    """What `numpy.load` finds, without pickles; an npz is read as a whole, its object arrays as None.

    Raises:
        BadInput: when the file is broken, or an npz that is larger than `MAX_INFLATED_BYTES` once inflated.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inflated = sum(member.file_size for member in archive.infolist())
            if inflated > MAX_INFLATED_BYTES:
                raise BadInput(
                    f"{path}: inflates to {inflated / 2**30:.1f} GiB, expected at most {MAX_INFLATED_BYTES / 2**30:g} GiB "
                    "for a dance; nothing of it was read, do not trust this file."
                )
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            return {key: _member(content, key) for key in content.files}
    except BadInput:
        raise
    except Exception as error:  # a broken zip or header can raise anything
        raise BadInput(
            f"{path}: not a readable {path.suffix} file ({type(error).__name__}); download or export it again."
        ) from error


def _member(content: Any, key: str) -> np.ndarray | None:
    try:
        return content[key]
    except ValueError:  # an array of objects is pickled; such a field is of no use here
        return None
