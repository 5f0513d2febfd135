"""What people get wrong: each is answered by one sentence with the way out, exit code 1 or 2, and no traceback."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from commands import printed
from mdsvqa.runtime.results import DIFFICULTY, ResultTable

STUDY = "videos: videos.csv\n"


@dataclass(frozen=True)
class Mistake:
    """A command line, what has to be said, and files that differ from those of `folder`."""

    command: str
    words: str
    files: tuple[tuple[str, str], ...] = ()
    code: int = 1


def wrong(command: str, words: str, code: int = 1, **files: str) -> Mistake:
    """A mistake; names of files have an underscore for the dot."""
    named = tuple((name.replace("_", "."), text) for name, text in files.items())
    return Mistake(command, words, named, code)


MISTAKES = [
    wrong("scor videos.csv", "No such command 'scor'", 2),
    wrong("score videos.csv --ot scores", "No such option", 2),
    wrong("score videos.csv", "Missing option '--out'", 2),
    wrong("run", "Missing argument 'study'", 2),
    wrong("select difficulty.csv --seed -1", "greater than or equal to 0", 2),
    wrong("study-size table.csv --videos 2", "greater than or equal to 5", 2),
    wrong("evaluate table.csv --draws many", "unable to parse string as an integer", 2),
    wrong("run nowhere.yaml", "nowhere.yaml: there is no such file. `mdsvqa init` writes one"),
    wrong("run picture.yaml", "picture.yaml: is no text. Name the study file"),
    wrong("run a.yaml", "a.yaml, line 2: not valid YAML", a_yaml="videos: v.csv\n  rounds: 2\n"),
    wrong("run a.yaml", "line 2: roundz: there is no such setting; did you mean rounds?", a_yaml=STUDY + "roundz: 2"),
    wrong("run a.yaml", "did you mean budget, indented below selection:?", a_yaml=STUDY + "budget: 8"),
    wrong("run a.yaml", "line 2: rounds: expected at least 1, found 0", a_yaml=STUDY + "rounds: 0"),
    wrong("run a.yaml", "rounds: expected a whole number, found 'two'", a_yaml=STUDY + "rounds: two"),
    wrong("run a.yaml", "(did you mean 'mds'?); expected one of mds", a_yaml=STUDY + "selection: {rule: mdz}"),
    wrong("run a.yaml", "expected acr, acr-hr, dcr or pairs, found 'acrr'", a_yaml=STUDY + "labeling: {method: acrr}"),
    wrong("run a.yaml", "videos: is missing, and has to be set", a_yaml="rounds: 1\n"),
    wrong("run a.yaml", "gone.csv: cannot be read: found no such file", a_yaml="videos: gone.csv\n"),
    wrong("report a.yaml", "has no results yet. Run it first: mdsvqa run a.yaml", a_yaml=STUDY),
    wrong("score gone.csv --out scores", "gone.csv"),
    wrong("score a.docx --out scores", "found the ending '.docx'; expected", a_docx="x"),
    wrong("score a.csv --out scores", "has no rows", a_csv="id,path\n"),
    wrong("score a.csv --out scores", "a.csv", a_csv="clip,quality\na,3\n"),
    wrong("score a.csv --out scores", "id 'x' is in rows 1 and 2", a_csv="id,path\nx,a.mp4\nx,b.mp4\n"),
    wrong("score a.csv --out scores", "expected a number or nothing", a_csv="id,path,mos\nx,a.mp4,good\n"),
    wrong("score a.csv --out scores", "a.csv", a_csv="id,path,mos\nx,a.mp4,72\n"),
    wrong("score videos.csv --out scores", "not one of its 12 files is there; looked for"),
    wrong("select difficulty.csv --rule difficulty --out table.csv", "table.csv: is a file, and no result folder."),
    wrong("score videos.csv --out scores --model gone.safetensors", "gone.safetensors"),
    wrong("score videos.csv --out scores --route sideways", "expected target, base or nearest"),
    wrong("difficulty videos.csv --scores gone --out d", "gone: there is no such result folder"),
    wrong("select gone.csv", "gone.csv: cannot be read: found no such file"),
    wrong("select difficulty.csv --column hardness", "has no column 'hardness'; found id, difficulty"),
    wrong("select difficulty.csv --budget many", "many"),
    wrong("select difficulty.csv --rule rnadom", "(did you mean 'random'?)"),
    wrong("select difficulty.csv --rule mds", "needs content features: run `mdsvqa content` first"),
    wrong("select difficulty.csv --rule mds --content plain", "plain: is no result folder, it has no _meta.json"),
    wrong("select difficulty.csv --rule difficulty --minutes -3", "--minutes -3: expected more than 0"),
    wrong("select difficulty.csv --rule difficulty --explain a --out s", "--explain writes nothing; leave out --out"),
    wrong("select difficulty.csv --rule difficulty --explain z9", "z9"),
    wrong("select difficulty.csv --rule difficulty --labeled table.csv", "Ids must be spelled alike"),
    wrong("select difficulty.csv --rule difficulty --out made", "another process is writing to this result"),
    wrong("select difficulty.csv --rule difficulty --out d", "holds the result of another step (difficulty"),
    wrong("evaluate scores.csv", "Name the column by --mos, or the table that has it by --with"),
    wrong("evaluate scores.csv --with gone.csv", "gone.csv: cannot be read: found no such file"),
    wrong("evaluate scores.csv --with other.csv", "found such as 'clip-00' (did you mean 'clip_00.mp4'?)"),
    wrong("evaluate table.csv --plot a.bmp", "--plot a.bmp: expected a file ending in .png, .svg or .pdf"),
    wrong("evaluate table.csv --csv gone/a.csv", "gone/a.csv: cannot be written. There is no such folder"),
    wrong("evaluate table.csv --csv plain", "plain: cannot be written. It is a folder. Name a file."),
    wrong("compare table.csv --scores score --with tuned", "--with: found 'tuned', expected NAME=FILE"),
    wrong("compare table.csv --scores score score", "'score' is named twice"),
    wrong("init study.yaml", "study.yaml: is there already", study_yaml="x"),
    wrong("gmad rank plain", "plain"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables, a folder that holds no result, one that holds another step's, and the working folder."""
    ids = [f"clip-{number:02d}" for number in range(12)]
    (tmp_path / "videos.csv").write_text("id,path\n" + "".join(f"{i},{i}.mp4\n" for i in ids))
    (tmp_path / "difficulty.csv").write_text("id,difficulty\n" + "".join(f"{i},{n}\n" for n, i in enumerate(ids)))
    (tmp_path / "scores.csv").write_text("id,score\n" + "".join(f"{i},{n}\n" for n, i in enumerate(ids)))
    (tmp_path / "other.csv").write_text("id,mos\n" + "".join(f"clip_{n:02d}.mp4,3\n" for n in range(12)))
    (tmp_path / "table.csv").write_text("id,score,mos\n" + "".join(f"t{n},{n},{n % 5 + 1}\n" for n in range(12)))
    (tmp_path / "picture.yaml").write_bytes(bytes([0xFF, 0xD8, 0xFF, 0x00]))
    (tmp_path / "plain").mkdir()
    with ResultTable(tmp_path / "d", DIFFICULTY, {"step": "difficulty"}) as table:
        table.append([{"id": "a", "difficulty": 1.0, "status": "ok"}])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each.command + "".join(text for _, text in each.files))
def test_each_is_one_sentence_with_the_way_out(
    mistake: Mistake, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in mistake.files:
        (folder / name).write_text(text)
    with ResultTable(folder / "made", DIFFICULTY, {"step": "difficulty"}):
        out, said = printed(capsys, *mistake.command.split(), code=mistake.code)
    assert "Traceback" not in out + said
    assert mistake.words in " ".join(said.split()).replace("│ ", "").replace(" │", "")
    if mistake.code == 1:
        # Progress may stand before it.
        *_, last = said.splitlines()
        assert last.startswith("error: ")
        assert said.count("error") == 1


def test_there_are_forty() -> None:
    assert len(MISTAKES) + 2 >= 40


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "The disk is full. Make room"), (errno.EROFS, "The disk is read-only. Name another place")],
)
def test_disks_that_take_nothing(
    number: int,
    words: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    replacing: Callable[..., None] = fail
    monkeypatch.setattr(os, "fsync", replacing)
    command = "select difficulty.csv --rule difficulty --out chosen"
    out, said = printed(capsys, *command.split(), code=1)
    assert "Traceback" not in out + said
    assert said.startswith("error: ")
    assert words in said
    assert said.count("\n") == 1
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    printed(capsys, *command.split())
