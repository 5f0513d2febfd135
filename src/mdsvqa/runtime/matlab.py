"""Variables of MATLAB files, up to version 7.3."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from mdsvqa.runtime.cells import folded, tidy
from mdsvqa.runtime.column_names import SCORES_AS_MOS, Names, find_column
from mdsvqa.runtime.optional import need_package
from mdsvqa.runtime.table_content import ColumnError, TableContent

# In which a file is read on the slowest machine, and more for large ones.
_SECONDS, _BYTES_A_SECOND = 60.0, 1e6


def read_matlab(path: Path, variable: str | None, names: Names) -> TableContent:
    """Reads the vectors of a file that are as long as the MOS: numbers, cell arrays of text, fields of structs.

    Args:
        path: of the file.
        variable: that is the MOS, such as "MOS" or, in a struct, "data.MOS"; it becomes the column mos.
        names: of the columns, where they have none of the usual ones.

    Raises:
        ColumnError: it cannot be read, or it is unclear which variables are meant.
    """
    vectors = _vectors_apart(path)
    if not vectors:
        raise ColumnError(
            f"{path}: found no vectors. Tables of MATLAB cannot be read outside of it: writetable(T, 'labels.csv')."
        )
    wanted = variable or names.mos
    mos = _named(path, wanted, vectors) if wanted is not None else _find(path, "mos", vectors)
    length = len(vectors[mos]) if mos is not None else _common_length(path, vectors)
    kept = {name: values for name, values in vectors.items() if len(values) == length}
    columns = {_short(name, kept): values for name, values in kept.items()}
    if mos is not None:
        columns["mos" if variable is not None else _short(mos, kept)] = columns.pop(_short(mos, kept))
    texts = [name for name, values in columns.items() if all(isinstance(value, str) for value in values)]
    # The only texts that are as many as the MOS are the videos' names, whatever they are called.
    if names.id is None and _find(path, "id", columns) is None and len(texts) == 1:
        columns["id"] = columns.pop(texts[0])
    return TableContent(columns)


def _vectors_apart(path: Path) -> dict[str, list[Any]]:
    """Every vector of a file by its dotted name, read in a process of its own: damaged files crash the libraries.

    A plain process, as one of multiprocessing would import the caller's script again.
    """
    reads = f"from pathlib import Path; from {__name__} import print_vectors; print_vectors(Path({os.fspath(path)!r}))"
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        enough = _SECONDS + path.stat().st_size / _BYTES_A_SECOND
        done = subprocess.run([sys.executable, "-c", reads], capture_output=True, env=told, timeout=enough, check=False)
        answer = json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired):
        raise ColumnError(
            f"{path}: cannot be read as a MATLAB file: it is damaged, and crashes or stalls what reads it."
        ) from None
    if isinstance(answer, str):
        raise ColumnError(answer)
    vectors: dict[str, list[Any]] = answer
    return vectors


def print_vectors(path: Path) -> None:
    """Prints the vectors of a file as JSON, or a sentence on why there are none."""
    try:
        print(json.dumps(dict(_vectors(_load(path)))))
    except ColumnError as error:
        print(json.dumps(str(error)))


def _named(path: Path, wanted: str, vectors: Mapping[str, Sequence[Any]]) -> str:
    exact = [name for name in vectors if name == wanted or name.endswith("." + wanted)]
    found = exact or [name for name in vectors if folded(name.rpartition(".")[2]) == folded(wanted)]
    if len(found) != 1:
        what = "no vector" if not found else f"{len(found)} vectors"
        raise ColumnError(f"{path}: found {what} called {wanted!r}; there are {_listed(vectors)}.")
    return found[0]


def _find(path: Path, name: str, vectors: Mapping[str, Sequence[Any]]) -> str | None:
    short = {_short(each, vectors): each for each in vectors}
    try:
        found = find_column(name, list(short), SCORES_AS_MOS if name == "mos" else ())
    except ValueError as error:
        raise ColumnError(f"{path}: {error}; name one: {path.name}:MOS.") from None
    return None if found is None else short[found]


def _short(name: str, among: Mapping[str, Any]) -> str:
    """The last part of a name, where no other has the same."""
    last = name.rpartition(".")[2]
    return last if [each.rpartition(".")[2] for each in among].count(last) == 1 else name


def _common_length(path: Path, vectors: Mapping[str, Sequence[Any]]) -> int:
    lengths = {len(values) for values in vectors.values() if len(values) > 1}
    if len(lengths) != 1:
        raise ColumnError(
            f"{path}: it is unclear which variable is the MOS; name it: {path.name}:NAME. There are {_listed(vectors)}."
        )
    return lengths.pop()


def _listed(vectors: Mapping[str, Sequence[Any]]) -> str:
    return ", ".join(f"{name} ({len(values)})" for name, values in vectors.items())


def _vectors(value: Any, name: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every vector within nested structs, by its dotted name, as Python values; None for an empty cell."""
    if isinstance(value, Mapping):
        for field, inner in value.items():
            if not str(field).startswith("__"):
                yield from _vectors(inner, f"{name}.{field}" if name else str(field))
        return
    if isinstance(value, str | int | float | np.generic):
        value = [value]
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            value = value[None]
        # A vector is a matrix with one row or column.
        if sum(size > 1 for size in value.shape) > 1:
            return
        value = value.ravel().tolist()
    if not isinstance(value, list) or not value:
        return
    if all(isinstance(each, Mapping) for each in value):
        for field in value[0]:
            yield from _vectors([each.get(field) for each in value], f"{name}.{field}")
        return
    plain = [_plain(each) for each in value]
    if all(each is None or isinstance(each, str | float) for each in plain):
        yield name, plain


def _plain(value: Any) -> Any:
    """A cell as text, a float or None; itself where it is something else."""
    while isinstance(value, np.ndarray | list) and np.size(value) == 1:
        value = np.asarray(value).ravel()[0]
    if isinstance(value, np.ndarray | list) and np.size(value) == 0:
        return None
    if isinstance(value, str):
        return tidy(value)
    return float(value) if isinstance(value, bool | int | float | np.number | np.bool_) else value


def _load(path: Path) -> Mapping[str, Any]:
    try:
        return dict(loadmat(path, simplify_cells=True))
    except NotImplementedError:
        return _load_hdf(path)
    # What damaged files make scipy raise comes from many places.
    except Exception as error:
        raise ColumnError(f"{path}: cannot be read as a MATLAB file ({error}).") from None


def _load_hdf(path: Path) -> Mapping[str, Any]:
    h5py = need_package("h5py", f"{path}: a MATLAB file of version 7.3")
    try:
        with h5py.File(path, "r") as file:
            return {name: _from_hdf(h5py, file, file[name]) for name in file if not name.startswith("#")}
    # Of HDF5, where a file is damaged.
    except Exception as error:
        raise ColumnError(f"{path}: cannot be read as a MATLAB file ({error}).") from None


def _from_hdf(h5py: Any, file: Any, node: Any) -> Any:
    """A variable of a version 7.3 file in the form that scipy gives to older ones."""
    if isinstance(node, h5py.Group):
        fields = {name: _from_hdf(h5py, file, node[name]) for name in node}
        return fields
    if node.attrs.get("MATLAB_empty", 0):
        return np.empty(0)
    kind = node.attrs.get("MATLAB_class", b"")
    values = node[()]
    if kind == b"char":
        # Stored column by column; several rows are several texts of one length.
        rows = np.atleast_2d(values).T
        texts = [tidy("".join(map(chr, row))) for row in rows.tolist()]
        return texts[0] if len(texts) == 1 else texts
    if h5py.check_dtype(ref=node.dtype) is not None:
        # A matrix of cells is no vector.
        if sum(size > 1 for size in np.shape(values)) > 1:
            return np.empty(0)
        return [_from_hdf(h5py, file, file[reference]) for reference in np.asarray(values).ravel()]
    return np.asarray(values)
