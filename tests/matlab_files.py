"""MATLAB files of version 7.3 as MATLAB writes them: HDF5 with a header, texts as numbers, cells as references."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def write_v73(path: Path, variables: Mapping[str, Any]) -> None:
    """Numbers as column vectors, sequences of texts as cell arrays, mappings as structs."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _put(file, file, name, value)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def _put(file: h5py.File, group: Any, name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        struct = group.create_group(name)
        struct.attrs["MATLAB_class"] = np.bytes_("struct")
        for field, inner in value.items():
            _put(file, struct, field, inner)
    elif isinstance(value, str):
        _text(group, name, value)
    elif isinstance(value, Sequence) and isinstance(value[0], str):
        references = file.require_group("#refs#")
        made = []
        for text in value:
            key = f"{name}{len(references)}"
            _text(references, key, text)
            made.append(references[key].ref)
        cell = group.create_dataset(name, data=np.array([made], dtype=h5py.ref_dtype))
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
    else:
        numbers = group.create_dataset(name, data=np.atleast_2d(np.asarray(value, np.float64)))
        numbers.attrs["MATLAB_class"] = np.bytes_("double")


def _text(group: Any, name: str, text: str) -> None:
    data = np.array([[ord(character)] for character in text], np.uint16)
    made = group.create_dataset(name, data=data)
    made.attrs["MATLAB_class"] = np.bytes_("char")
    made.attrs["MATLAB_int_decode"] = np.int32(2)
