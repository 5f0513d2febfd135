"""The rooms of the package and the arrows between them: docs/architecture.md, checked against every import."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mdsvqa

PACKAGE = Path(mdsvqa.__file__).parent
# What each room may import beside itself.
BELOW = {
    "runtime": set(),
    "videos": {"runtime"},
    "evaluation": {"runtime"},
    "models": {"evaluation", "videos", "runtime"},
    "selection": {"evaluation", "videos", "runtime"},
    "difficulty": {"models", "evaluation", "videos", "runtime"},
    "study": {"difficulty", "selection", "models", "evaluation", "videos", "runtime"},
    "report": {"study", "difficulty", "selection", "models", "evaluation", "videos", "runtime"},
    "labeling": {"report", "study", "difficulty", "selection", "models", "evaluation", "videos", "runtime"},
    "cli": {"labeling", "report", "study", "difficulty", "selection", "models", "evaluation", "videos", "runtime"},
}
# The big room has floors of its own; its doctor and its door look at all of them.
INSIDE_MODELS = {
    "doctor": {"", "vlm", "encoders", "statistical", "training"},
    "open": {"", "vlm", "encoders", "statistical", "training"},
    "": set(),
    "statistical": {""},
    "encoders": {""},
    "vlm": {"statistical", "encoders", ""},
    "training": {"vlm", "statistical", "encoders", ""},
}
# Votes and their statistics, which know nothing of the web, of a database, or of a study.
OF_VOTES = {
    "votes",
    "itu",
    "estimate",
    "panel",
    "pairs",
    "models",
    "parts",
    "agreement",
    "differences",
    "screening",
    "assignment",
    "pair_assignment",
    "stopping",
    "vote_tables",
    "vote_export",
    "label_studio",
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Modules of the package that a file imports, anywhere in it, as parts below `mdsvqa`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if is_module(name) else str(node.module) for name in whole]
        else:
            continue
        yield from (tuple(name.split(".")[1:]) for name in names if name.split(".")[0] == "mdsvqa")


def is_module(name: str) -> bool:
    place = PACKAGE.parent.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def test_every_arrow_points_down_and_nothing_else_lies_at_the_root() -> None:
    entries = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"} - {"__pycache__"}
    assert entries == {*BELOW, "__init__", "__main__"}
    wrong = []
    for path in sources():
        room = module_of(path)[0]
        if room not in BELOW:
            continue
        for target in imports(path):
            if target and target[0] != room and target[0] not in BELOW[room]:
                wrong.append(f"{'/'.join(module_of(path))} -> {'.'.join(target)}")
    assert wrong == []


def test_the_floors_inside_the_room_of_models() -> None:
    def floor(parts: tuple[str, ...]) -> str:
        own = len(parts) > 2 or PACKAGE.joinpath(*parts[:2]).is_dir() or parts[1] in INSIDE_MODELS
        return parts[1] if own else ""

    wrong = []
    for path in sources():
        parts = module_of(path)
        # `open` and `doctor` choose among all of them.
        if parts[0] != "models" or parts in (("models", "open"), ("models", "doctor")):
            continue
        for target in imports(path):
            inside = target[:1] == ("models",) and len(target) > 1 and floor(target) != floor(parts)
            if inside and floor(target) not in INSIDE_MODELS[floor(parts)]:
                wrong.append(f"{'/'.join(parts)} -> {'.'.join(target)}")
    assert wrong == []


def test_votes_know_nothing_of_the_web() -> None:
    wrong = []
    for path in sources():
        parts = module_of(path)
        if parts[0] != "labeling" or parts[-1] not in OF_VOTES:
            continue
        wrong += [
            f"{parts[-1]} -> {'.'.join(target)}"
            for target in imports(path)
            if target[:1] not in {("runtime",), ("evaluation",), ("videos",)} and target[-1] not in OF_VOTES
        ]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        web = {"fastapi", "starlette", "uvicorn", "sqlite3", "http", "socket", "pandas"}
        wrong += [f"{parts[-1]} -> {name}" for name in names if name.split(".")[0] in web]
    assert wrong == []


def test_no_file_imports_itself_by_way_of_others() -> None:
    modules = {module_of(path): path for path in sources()}
    arrows = {
        parts: {target for target in imports(path) if target in modules and target != parts}
        for parts, path in modules.items()
    }
    done: set[tuple[str, ...]] = set()

    def visit(module: tuple[str, ...], above: tuple[tuple[str, ...], ...]) -> None:
        assert module not in above, " -> ".join("/".join(part) for part in (*above, module))
        if module not in done:
            for target in sorted(arrows[module]):
                visit(target, (*above, module))
            done.add(module)

    for module in modules:
        visit(module, ())


@pytest.mark.parametrize("room", sorted(BELOW))
def test_every_room_says_what_it_is(room: str) -> None:
    assert ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))


def test_nothing_but_its_own_files_and_the_tiny_model_names_a_family() -> None:
    elsewhere = [
        path
        for path in PACKAGE.rglob("*")
        if path.suffix in (".py", ".yaml", ".j2") and not {"families", "tiny"} & set(path.relative_to(PACKAGE).parts)
    ]
    assert [str(path) for path in elsewhere if "qwen" in path.read_text(encoding="utf-8").lower()] == []
