"""Packages that only some files need."""

from importlib import import_module
from typing import Any

from mdsvqa.runtime.table_content import ColumnError


def need_package(name: str, what: str) -> Any:
    """A package of the extra `mdsvqa[tables]`.

    Raises:
        ColumnError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ColumnError(f"{what} needs {name}: pip install 'mdsvqa[tables]'.") from None
