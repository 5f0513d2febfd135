"""What is wrong with settings, in words: where, what was found, what was expected, and which name was meant."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

Place = tuple[str | int, ...]


def line_of(text: str, place: Place) -> int | None:
    """The line, from 1, on which a setting stands in YAML; that of the last known part of its place.

    >>> line_of("videos: v.csv\\nselection:\\n  budgt: 6\\n", ("selection", "budgt"))
    3
    """
    node, line = yaml.compose(text, yaml.SafeLoader), None
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def places_of(kind: type[BaseModel], within: str = "") -> Iterator[str]:
    """Every setting of a group and of the groups within it, by dotted name."""
    for name, field in kind.model_fields.items():
        yield within + name
        for each in (field.annotation, *get_args(field.annotation)):
            if isinstance(each, type) and issubclass(each, BaseModel):
                yield from places_of(each, f"{within}{name}.")


def meant(kind: type[BaseModel], place: Place) -> str:
    """Which setting somebody may have meant who named one that does not exist; empty where none is like it."""
    wanted, known = ".".join(map(str, place)), list(places_of(kind))
    within, _, name = wanted.rpartition(".")
    own = [each for each in known if each.rpartition(".")[0] == within]
    near = get_close_matches(wanted, own, 1, 0.7) or [each for each in known if each.rpartition(".")[2] == name]
    near = near or get_close_matches(wanted, known, 1, 0.8)
    if not near:
        close = get_close_matches(name, [each.rpartition(".")[2] for each in known], 1)
        near = [each for each in known if each.rpartition(".")[2] in close]
    if not near:
        return ""
    nested = near[0].rpartition(".")
    if nested[0] and nested[0] != within:
        return f"; did you mean {nested[2]}, indented below {nested[0]}:?"
    return f"; did you mean {nested[2]}?"


def reason(error: Mapping[str, Any]) -> str:
    """What pydantic found wrong with one value, in words."""
    kind, limits = str(error["type"]), error.get("ctx", {})
    found = f", found {error['input']!r}" if isinstance(error.get("input"), str | int | float | bool) else ""
    if kind == "literal_error":
        return f"expected {str(limits['expected']).replace(chr(39), '')}{found}"
    if kind == "missing":
        return "is missing, and has to be set"
    bounds = {
        "greater_than": "more than",
        "greater_than_equal": "at least",
        "less_than": "less than",
        "less_than_equal": "at most",
    }
    if kind in bounds:
        return f"expected {bounds[kind]} {next(iter(limits.values())):g}{found}"
    kinds = {"int": "a whole number", "float": "a number", "bool": "yes or no", "string": "text", "path": "a path"}
    wanted = next((words for name, words in kinds.items() if kind.startswith(f"{name}_")), None)
    if wanted is not None:
        return f"expected {wanted}{found}"
    return str(error["msg"]).removeprefix("Value error, ")


def in_one_case(annotation: Any, value: Any) -> Any:
    """A value of a few that may be written in any case: MDS is mds.

    >>> in_one_case(Literal["acr", "acr-hr"], "ACR-HR"), in_one_case(str, "Title")
    ('acr-hr', 'Title')
    """
    if not isinstance(value, str):
        return value
    offered = _offered(annotation)
    return next((each for each in offered if each.casefold() == value.casefold()), value) if offered else value


def _offered(annotation: Any) -> Sequence[str]:
    if get_origin(annotation) is Literal:
        return [each for each in get_args(annotation) if isinstance(each, str)]
    if get_origin(annotation) is tuple:
        return ()
    return [name for each in get_args(annotation) for name in _offered(each)]
