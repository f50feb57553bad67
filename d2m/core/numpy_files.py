"""`.npy` and `.npz` files, read without running a pickle and without taking more memory than the file fills."""

import io
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.errors import BadInput
from d2m.core.safe_pickle import refuse_bomb, unpickled


def load_numpy(path: Path) -> Any:
    """What `numpy.load` finds: an array, or the dict of an npz; one object without axes, such as a dict, is read safely.

    Arrays of objects in an npz become None.

    Raises:
        BadInput: when the file is broken, hostile, or larger than `MAX_INFLATED_BYTES`, also once inflated.
    """
    try:
        refuse_bomb(path, path.stat().st_size)
        raw = path.read_bytes()
        if not raw.startswith(b"PK"):
            return _array(path, raw)
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            refuse_bomb(path, sum(member.file_size for member in archive.infolist()))
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            if not members:
                raise ValueError("no arrays in it")
            return {name.removesuffix(".npy"): _array(path, archive.read(name)) for name in members}
    except BadInput:
        raise
    except Exception as error:  # a broken zip or header can raise anything
        raise BadInput(
            f"{path}: not a readable {path.suffix} file ({type(error).__name__}); download or export it again."
        ) from error


def _array(path: Path, raw: bytes) -> Any:
    """The array that an npy's bytes hold; `numpy.load` would first take the memory that the header asks for."""
    file = io.BytesIO(raw)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject:
        return unpickled(path, file.read())
    data = file.read()
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(data):
        raise ValueError("a header that does not fit the numbers")
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if is_fortran else "C")
