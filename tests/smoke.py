"""The built wheel in an environment of its own: every command starts, does its work, and says what it lacks.

First without extras, as `pip install .` gives it, then with them. Versions are those of requirements.lock, torch among
them, so that nothing is installed that the tests did not run with.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "smoke"
BIN = PLACE / "venv" / "bin"
EXTRAS = "label,tables,vlm"
CORPUS = "demo/corpus/manifest.csv"
# Each with the exit code that it has to end with.
WITHOUT_EXTRAS = (
    (0, "--version"),
    (0, "doctor --json"),
    (0, "demo --source 80 --pool 20 --test 10 --seeds 2 --out demo"),
    (0, "init study.yaml"),
    (0, "run demo/study.yaml"),
    (0, "report demo/study.yaml"),
    (1, "rehearse demo/study.yaml"),
    (0, f"score {CORPUS} --out scores/"),
    (0, f"content {CORPUS} --out content/"),
    *((0, f"content {CORPUS} --out parts/ --part {part}/2 --mirror copy/") for part in (1, 2)),
    (0, f"merge parts/ --order-of {CORPUS} --out all-content/"),
    (0, "compact parts/"),
    (0, f"difficulty predict {CORPUS} --scores scores/ --out difficulty/"),
    (0, "select difficulty/ --content content/ --budget 5 --out selection/"),
    (
        0,
        f"finetune {CORPUS} --features scores/_features --model scores/_model.safetensors --labels labels.csv --out f",
    ),
    (0, "evaluate scored.csv --mos mos --score score"),
    (0, "compare scored.csv --scores score other --mos mos"),
    (0, "study-size scored.csv --score score --mos mos --width 0.2 --videos 50 --raters 5 --studies 20"),
    (0, "difficulty evaluate scored.csv --score score --mos mos --difficulty other"),
    (0, "gmad pairs scored.csv --scores score other --levels 2 --per-level 1 --out gmad/"),
    (0, "gmad rank gmad/ --mos mos"),
    (0, "label mos votes.csv --out mos.csv"),
    (0, "label import votes.csv --out votes-long.csv"),
    # One sentence that names the extra.
    (1, "label serve demo/corpus/videos"),
    (1, "tiny-vlm tiny/"),
    (1, "demo --vlm --source 40 --pool 20 --test 10 --out demo-vlm"),
    (1, "merge --model tiny/ --adapter adapter/ --out merged/"),
)
WITH_EXTRAS = (
    (0, f"tiny-vlm tiny/ --corpus {CORPUS} --steps 80"),
    (0, "doctor --model tiny/"),
    (0, f"score {CORPUS} --model tiny/ --read expected --out scores-vlm/"),
    (0, f"difficulty train {CORPUS} --scores scores-vlm/ --model tiny/ --steps 1 --evaluations 1 --out g/"),
    (0, f"finetune {CORPUS} --model tiny/ --labels labels.csv --steps 1 --evaluations 1 --out adapter/"),
    (0, "merge --model tiny/ --adapter adapter/ --out merged/"),
    (0, "label prepare few/ --out rating/"),
    (0, "label invite few/ --out rating/ --raters 2"),
    (0, "label status few/ --out rating/"),
)
COMMANDS = ("", "difficulty predict", "difficulty train", "difficulty evaluate", "label prepare", "label serve")


def call(code: int, line: str) -> None:
    """Runs a command of the new environment in its folder, and checks how it ends."""
    # Nothing of this checkout is seen.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [BIN / "mdsvqa", *line.split()], cwd=PLACE, capture_output=True, text=True, check=False, env=kept
    )
    print(f"{done.returncode} mdsvqa {line}", flush=True)
    said = done.stderr.strip().splitlines()
    if done.returncode != code or "Traceback" in done.stderr or (code == 1 and not said[-1].startswith("error: ")):
        sys.exit(f"expected exit code {code}:\n{done.stdout}\n{done.stderr}")


def install(what: str) -> None:
    """Installs with the versions of the lock file."""
    pip = (BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run([*pip, "--constraint", ROOT / "requirements.lock", what], check=True)


def own_files() -> None:
    """What commands are given beside the demonstration's corpus."""
    rows = [line.split(",") for line in (PLACE / CORPUS).read_text(encoding="utf-8").splitlines()]
    pool = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    pool = [row for row in pool if row["split"] == "pool"]
    (PLACE / "labels.csv").write_text("id,mos\n" + "".join(f"{row['id']},{row['mos']}\n" for row in pool[:8]))
    scored = "".join(f"v{k},{1 + k / 10},{1 + k % 7 / 2},{1 + k / 10 + k % 3 / 5}\n" for k in range(40))
    (PLACE / "scored.csv").write_text("id,mos,other,score\n" + scored)
    votes = "".join(f"v{k},r{rater},{1 + (k + rater) % 5}\n" for k in range(10) for rater in range(5))
    (PLACE / "votes.csv").write_text("video,rater,vote\n" + votes)
    (PLACE / "few").mkdir()
    for row in pool[:4]:
        shutil.copy(PLACE / "demo" / "corpus" / row["path"], PLACE / "few")


def main() -> None:
    """Builds, installs, runs."""
    shutil.rmtree(PLACE, ignore_errors=True)
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", PLACE, ROOT)
    subprocess.run([sys.executable, *build], check=True)
    wheel = next(PLACE.glob("*.whl"))
    venv.create(PLACE / "venv", with_pip=True)
    install(str(wheel))
    for line in COMMANDS:
        call(0, f"{line} --help")
    for code, line in WITHOUT_EXTRAS:
        call(code, line)
        if line.startswith("demo --source"):
            own_files()
    install(f"mdsvqa[{EXTRAS}] @ {wheel.as_uri()}")
    for code, line in WITH_EXTRAS:
        call(code, line)
    found = json.loads(subprocess.run([BIN / "mdsvqa", "doctor", "--json"], capture_output=True, check=True).stdout)
    print(f"wheel: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB; torch {found['packages']['torch']}")


if __name__ == "__main__":
    main()
