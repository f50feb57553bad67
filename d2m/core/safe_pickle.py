"""Pickles of numbers, read without trusting them: of numpy, of joblib, and of torch in both of its file formats.

An ordinary unpickler imports and calls whatever the file names, so a dance from the internet could run a program.
This one knows the few names with which arrays and tensors are written (in the spellings of numpy 1 and 2, and of
Python 2), and puts a stand-in of its own in the place of each: not even numpy's own reconstruction is called, since
`numpy.ndarray` itself would wrap any bytes as pointers. Every other name ends the reading before anything is called.
Python's own implementation is the base, since that of C takes memory that a file only claims to fill, and cannot read
joblib's files, which have the bytes of arrays between the opcodes.
"""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from d2m.core.errors import BadInput

MAX_INFLATED_BYTES = 2**30
"""An hour of SMPL-X poses at 120 frames per second takes 0.6 GB in float64; a compressed file may hold a bomb."""

_NUMERIC_KINDS = "biuf"
_MAX_DEPTH = 12

_TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled number with which files of torch before 1.6, and tensors inside ordinary pickles, begin."""

_TORCH_TYPES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bf16", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "b1",
}  # fmt: skip


class _StandIn:
    """What an unpickler may give a state to."""


@dataclass
class _Dtype(_StandIn):
    """Stands in for `numpy.dtype`: a type code such as `f8`, and its byte order once the state is set."""

    code: str
    byte_order: str = "="

    def __setstate__(self, state: tuple) -> None:
        self.byte_order = state[1]

    def dtype(self) -> np.dtype:
        return np.dtype(self.byte_order + self.code)


class _Array(_StandIn):
    """Stands in for `numpy.ndarray`; `values` is filled by the state, and stays None where it isn't numeric.

    The one object of an array without axes is kept: that is how `numpy.save` writes a dict.
    """

    values: Any = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.fill(data, dtype, shape, "F" if is_fortran else "C")

    def fill(self, data: object, dtype: _Dtype, shape: tuple, order: str) -> "_Array":
        """Read `data` as numbers; Python 2 wrote bytes as text."""
        if dtype.dtype().kind in _NUMERIC_KINDS:
            raw = data.encode("latin1") if isinstance(data, str) else data
            if not isinstance(raw, bytes | bytearray):
                raise ValueError("an array of numbers without its bytes")
            self.values = np.frombuffer(bytearray(raw), dtype.dtype()).reshape(
                shape, order="F" if order == "F" else "C"
            )
        elif isinstance(data, list) and len(data) == 1 and shape == ():
            self.values = data[0]
        return self


class _JoblibArray(_Array):
    """Stands in for joblib's wrapper: the array's bytes follow the wrapper in the file."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def read(self, unpickler: "_SafeUnpickler") -> None:
        dtype, shape = self.state["dtype"].dtype(), tuple(self.state["shape"])
        if dtype.kind == "O":  # such an array is a pickle of its own
            array = unpickler.again().load()
            self.values = array.values if isinstance(array, _Array) else None
            return
        if self.state.get("numpy_array_alignment_bytes") is not None:
            unpickler.file.read(unpickler.file.read(1)[0])
        data = unpickler.file.read(prod(shape) * dtype.itemsize)
        self.fill(data, self.state["dtype"], shape, self.state["order"])


@dataclass(frozen=True)
class _StorageType:
    """Stands in for a class such as `torch.FloatStorage`."""

    code: str


@dataclass
class _Storage:
    """Numbers that tensors are views of; in the older file format they come after the pickle."""

    code: str
    count: int
    byte_order: str = "<"
    raw: bytes | None = None

    def numbers(self) -> np.ndarray:
        if self.raw is None:
            raise ValueError("a tensor without its numbers")
        if self.code == "bf16":  # the upper half of a float32
            return (np.frombuffer(self.raw, self.byte_order + "u2").astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(self.raw, np.dtype(f"{self.byte_order}{self.code}"))


@dataclass
class _Tensor(_StandIn):
    """Stands in for a tensor: a view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple
    state: Any = field(default=None, repr=False)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def values(self) -> np.ndarray:
        numbers, whole = self.storage.numbers(), [self.offset, *self.shape, *self.strides]
        if not all(type(number) is int and number >= 0 for number in whole) or len(self.shape) != len(self.strides):
            raise ValueError("a tensor of an impossible shape")
        if prod(self.shape) > max(1, len(numbers)) * 4096 or prod(self.shape) * 8 > MAX_INFLATED_BYTES:
            raise ValueError("a tensor of more numbers than its file can hold")
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if 0 in self.shape:
            return np.zeros(self.shape, numbers.dtype)
        if last >= len(numbers):
            raise ValueError("a tensor that reaches out of its numbers")
        steps = [step * numbers.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps, writeable=False).copy()


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


def _empty_dict(*_: object) -> dict:
    return {}


def _size(numbers: Any = (), *_: object) -> tuple:
    return tuple(numbers)


def _tensor(storage: _Storage, offset: int, size: tuple, stride: tuple, *_: object) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without its numbers")
    return _Tensor(storage, offset, tuple(size), tuple(stride))


def _parameter(tensor: Any, *_: object) -> Any:
    return tensor


def _storage_of_bytes(raw: object) -> _Storage:
    """The numbers of a tensor inside an ordinary pickle."""
    if not isinstance(raw, bytes) or not raw.startswith(_TORCH_LEGACY):
        raise ValueError("a tensor in an unknown format")
    storage = _load_torch_legacy(io.BytesIO(raw), is_inner=True)
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without its numbers")
    return storage


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _bytes_of_text,  # how Python 3 writes bytes in protocols 0 to 2 …
    ("__builtin__", "bytes"): _bytes_of_text,  # … and empty ones
    ("builtins", "bytes"): _bytes_of_text,
    ("collections", "OrderedDict"): _empty_dict,
    ("collections", "defaultdict"): _empty_dict,
    ("__builtin__", "dict"): _empty_dict,
    ("builtins", "dict"): _empty_dict,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _JoblibArray,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "_load_from_bytes"): _storage_of_bytes,
    ("torch", "Size"): _size,
}
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _empty_array
    _STAND_INS[f"{_core}.multiarray", "scalar"] = _number
    _STAND_INS[f"{_core}.numeric", "_frombuffer"] = _array_of_buffer
for _name, _code in _TORCH_TYPES.items():
    _STAND_INS["torch", _name] = _StorageType(_code)


class _Forbidden(Exception):
    """The pickle names something that is not a part of an array or a tensor."""


class _SafeUnpickler(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """Knows the stand-ins and nothing else.

    Args:
        file: in memory, so that nothing can be read that is not there.
        storages: of a torch file, by key: those that it has, or, in the older format, those that will follow.
        is_inner: whether the bytes are a tensor inside another pickle, which holds no further ones.
    """

    dispatch: ClassVar[dict] = dict(pickle._Unpickler.dispatch)  # pyright: ignore[reportAttributeAccessIssue]

    def __init__(self, file: io.BytesIO, storages: Mapping[str, Any] | None = None, is_inner: bool = False) -> None:
        super().__init__(file, encoding="latin1")
        self.file, self.storages, self.is_inner = file, storages, is_inner

    def again(self) -> "_SafeUnpickler":
        """One for a pickle that follows in the same file."""
        return _SafeUnpickler(self.file, self.storages, self.is_inner)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS or (self.is_inner and name == "_load_from_bytes"):
            raise _Forbidden(f"{module}.{name}")
        return _STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(storage_type, _StorageType) or self.storages is None:
            raise ValueError("an unknown reference")
        return self.storages[str(key)].of(storage_type.code, count)

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(target, _StandIn):
            target.__setstate__(state)  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(target, _JoblibArray):
                target.read(self)
        elif not isinstance(target, dict):  # a state dict's `_metadata` is left out
            raise _Forbidden(type(target).__name__)

    dispatch[pickle.BUILD[0]] = load_build

    def load_bytearray8(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))  # pyright: ignore[reportAttributeAccessIssue]
        self.append(bytearray(self.read(length)))  # pyright: ignore[reportAttributeAccessIssue]

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


@dataclass
class _Numbers:
    """The bytes of one storage of a torch file: `raw`, or None where they come later."""

    raw: bytes | None = None
    byte_order: str = "<"
    storage: _Storage | None = None

    def of(self, code: str, count: int) -> _Storage:
        if self.storage is None:
            self.storage = _Storage(code, count, self.byte_order, self.raw)
        return self.storage


class _Following(dict[str, _Numbers]):
    """Storages of the older format, made as the pickle names them."""

    def __missing__(self, key: str) -> _Numbers:
        self[key] = _Numbers()
        return self[key]


def _load_torch_legacy(file: io.BytesIO, is_inner: bool = False) -> Any:
    storages = _Following()
    for _ in range(3):  # the number of the format, of its version, and facts of the machine
        _SafeUnpickler(file, storages, is_inner).load()
    content = _SafeUnpickler(file, storages, is_inner).load()
    for key in _SafeUnpickler(file, storages, is_inner).load():
        (count,) = struct.unpack("<q", file.read(8))
        storage = storages[str(key)].storage
        if storage is None or count < 0:
            raise ValueError("numbers that no tensor has")
        storage.raw = file.read(count * (2 if storage.code == "bf16" else np.dtype(storage.code).itemsize))
    return content


def _load_torch_zip(path: str | Path, raw: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        refuse_bomb(path, sum(member.file_size for member in archive.infolist()))
        names = archive.namelist()
        (pickled,) = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        folder = pickled.removesuffix("data.pkl")
        is_big = f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") == b"big"
        prefix = f"{folder}data/"
        storages = {
            name.removeprefix(prefix): _Numbers(archive.read(name), ">" if is_big else "<")
            for name in names
            if name.startswith(prefix)
        }
        return _SafeUnpickler(io.BytesIO(archive.read(pickled)), storages).load()


def refuse_bomb(path: str | Path, inflated: int) -> None:
    """Stop before a file is inflated to more than `MAX_INFLATED_BYTES`.

    Raises:
        BadInput: when it would be.
    """
    if inflated > MAX_INFLATED_BYTES:
        raise BadInput(
            f"{path}: inflates to {inflated / 2**30:.1f} GiB, expected at most {MAX_INFLATED_BYTES / 2**30:g} GiB "
            "for a dance; nothing of it was read, do not trust this file."
        )


def _inflated(path: str | Path, raw: bytes) -> bytes:
    """The bytes of a file that joblib has compressed by zlib or gzip, others as they are."""
    if raw[:2] not in (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda", b"\x1f\x8b"):
        return raw
    inflating = zlib.decompressobj(wbits=47)  # either header
    content = inflating.decompress(raw, MAX_INFLATED_BYTES)
    refuse_bomb(path, len(content) + len(inflating.unconsumed_tail) * 2**10 if inflating.unconsumed_tail else 0)
    return content


def load_safe_pickle(path: str | Path) -> Any:
    """What a pickle, a joblib dump or a file of torch holds; nothing of it is run.

    Arrays, tensors and numbers of numpy become arrays, in dicts and lists as deep as twelve; keys become texts. Arrays of
    other things than numbers become None.

    Raises:
        BadInput: when the file is no pickle, larger than `MAX_INFLATED_BYTES`, or names anything but arrays and tensors.
    """
    path = Path(path)
    refuse_bomb(path, path.stat().st_size)
    return unpickled(path, path.read_bytes())


def unpickled(path: Path, raw: bytes) -> Any:
    """See `load_safe_pickle`; of bytes that are in the file `path`."""
    try:
        raw = _inflated(path, raw)
        if raw.startswith(b"PK\x03\x04"):
            content = _load_torch_zip(path, raw)
        elif raw.startswith(_TORCH_LEGACY):
            content = _load_torch_legacy(io.BytesIO(raw))
        else:
            content = _SafeUnpickler(io.BytesIO(raw)).load()
        return _plain(content, {})
    except BadInput:
        raise
    except _Forbidden as error:
        raise BadInput(
            f"{path}: the pickle asks for {str(error)[:80]!r}, expected arrays and tensors only; "
            "nothing of it was run, do not trust this file."
        ) from error
    except Exception as error:  # a broken pickle can raise anything: ValueError, EOFError, MemoryError, TypeError …
        raise BadInput(
            f"{path}: not a readable pickle ({type(error).__name__}); download or export the file again."
        ) from error


def _plain(value: Any, seen: dict[int, Any], depth: int = 0) -> Any:
    """Arrays in place of the stand-ins; what was there before is looked into once, so that nothing grows."""
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, _Tensor):
        seen[id(value)] = value.values()
    elif isinstance(value, _Array):
        seen[id(value)] = None
        seen[id(value)] = _plain(value.values, seen, depth + 1)
    elif isinstance(value, dict) and depth < _MAX_DEPTH:
        seen[id(value)] = plain = {}
        for key, one in value.items():
            key = _plain(key, seen, depth + 1)
            plain[str(key.item() if isinstance(key, np.ndarray) and key.size == 1 else key)[:200]] = _plain(
                one, seen, depth + 1
            )
    elif isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        seen[id(value)] = None
        seen[id(value)] = [_plain(one, seen, depth + 1) for one in value]
    elif isinstance(value, str | bytes | int | float | bool | np.ndarray):
        return value
    else:
        return None
    return seen[id(value)]
