"""Studies in which two clips are shown: which pairs are asked, their traps and repeats, and what leaves them."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from commands import printed
from mdsvqa.evaluation.gmad.folder import find_pairs
from mdsvqa.labeling.export.findings import findings
from mdsvqa.labeling.export.run import exported, labels_of
from mdsvqa.labeling.material import read_material
from mdsvqa.labeling.stimuli import Prepared
from mdsvqa.labeling.vote_tables import read_votes
from rating_study import Browser, Study, prepared_of

OpenStudy = Callable[..., Study]


def of_two(prepared: Prepared, before: str, answers: tuple[float, ...]) -> Prepared:
    """The same with traps that come behind another clip."""
    traps = [
        replace(each, reference=before.format(n=n), expected=answers[n % len(answers)])
        for n, each in enumerate(prepared.of("trap"))
    ]
    return replace(prepared, stimuli=[*(each for each in prepared.stimuli if each.role != "trap"), *traps])


def table(study: Study, name: str) -> list[dict[str, str]]:
    with study.store.reading() as connection:
        files = exported(connection, study.settings, study.prepared, study.running.texts, study.clock())
    return list(csv.DictReader(io.StringIO(files[name].decode("utf-8-sig"))))


def slots_of(study: Study) -> dict[str, dict[str, Any]]:
    """What each slot shows."""
    rows = study.rows(
        "SELECT slots.id, slots.rater, slots.kind, one.id AS first, other.id AS second, other.expected FROM slots JOIN "
        "stimuli AS one ON one.number = first LEFT JOIN stimuli AS other ON other.number = second ORDER BY slots.rowid"
    )
    return {row["id"]: row for row in rows}


def take_part(study: Study, answer: Callable[[dict[str, Any]], float]) -> Browser:
    """One rater's whole way."""
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    while page["page"] == "slot":
        shown = slots_of(study)[page["slot"]]
        practice = 0.5 if study.settings.method == "pairs" else 3.0
        said = browser.vote(page, practice if shown["kind"] == "training" else answer(shown))
        assert said.status_code == 200, said.json()
        page = said.json()
    return browser


def test_pairs_are_chosen_asked_once_a_rater_and_give_the_order(open_study: OpenStudy, clip: Path) -> None:
    prepared = of_two(prepared_of(clip, videos=12, contents=12), "v0{n}", (1.0, 0.0, 0.5))
    study = open_study(prepared, method="pairs", sessions=1, session_minutes=6, repeats=2, repeat_gap=4)

    def quality(id: str) -> int:
        return int(id[1:])

    def answer(shown: dict[str, Any]) -> float:
        return float(
            shown["expected"] if shown["kind"] == "trap" else quality(shown["first"]) > quality(shown["second"])
        )

    for _ in range(6):
        take_part(study, answer)
    slots = list(slots_of(study).values())
    for rater in range(1, 7):
        own = [slot for slot in slots if slot["rater"] == rater]
        pairs = [frozenset({slot["first"], slot["second"]}) for slot in own if slot["kind"] == "video"]
        assert len(pairs) == len(set(pairs)) > 12
        # Rounds show every video once: after them, each was seen as often as every other, give or take one round.
        views = np.unique([name for pair in pairs for name in pair], return_counts=True)[1]
        assert views.max() - views.min() <= 2
        assert len([slot for slot in own if slot["kind"] == "repeat"]) == 2
        assert len([slot for slot in own if slot["kind"] == "trap"]) >= 1
        assert {slot["first"] for slot in own if slot["kind"] == "trap"} <= {f"v0{n}" for n in range(6)}
    rows = table(study, "videos.csv")
    scores = [float(row["score"]) for row in rows]
    assert spearmanr(scores, [quality(row["id"]) for row in rows]).statistic > 0.95
    raters = table(study, "raters.csv")
    assert {(row["traps_wrong"], row["repeat_difference"], row["flags"]) for row in raters} == {("0", "0", "")}
    answers = table(study, "votes.csv")
    assert {row["kind"] for row in answers} == {"video", "repeat", "trap"}
    assert all(row["preference"] == row["expected"] for row in answers if row["kind"] == "trap")


def test_later_pairs_of_a_study_are_nearer_than_random_ones(open_study: OpenStudy, clip: Path) -> None:
    study = open_study(prepared_of(clip, videos=20), method="pairs", sessions=1, session_minutes=5, trap_every=0)

    def answer(shown: dict[str, Any]) -> float:
        return float(shown["first"] > shown["second"])

    for _ in range(8):
        take_part(study, answer)
    last = [slot for slot in slots_of(study).values() if slot["rater"] == 8 and slot["kind"] == "video"]
    gaps = [abs(int(slot["first"][1:]) - int(slot["second"][1:])) for slot in last]
    # Two of 0..19 drawn at random are (20 + 1) / 3 apart on average.
    assert np.mean(gaps) < 7 - 2


def test_repeats_of_pairs_do_not_count_and_wrong_traps_flag(
    open_study: OpenStudy, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = of_two(prepared_of(clip, videos=8), "v0{n}", (1.0,))
    study = open_study(prepared, method="pairs", sessions=1, trap_every=6, repeats=3, repeat_gap=3)

    def careless(shown: dict[str, Any]) -> float:
        return 0.0

    take_part(study, careless)
    answers = table(study, "votes.csv")
    counted = [row for row in answers if row["kind"] == "video"]
    assert len(answers) > len(counted) + 3
    views = {row["id"]: int(row["votes"]) for row in table(study, "videos.csv")}
    by_hand = dict.fromkeys(views, 0)
    for row in counted:
        by_hand[row["first"]] += 1
        by_hand[row["second"]] += 1
    assert views == by_hand
    (rater,) = table(study, "raters.csv")
    traps = len([row for row in answers if row["kind"] == "trap"])
    assert (int(rater["traps"]), int(rater["traps_wrong"])) == (traps, traps)
    assert rater["flags"] == f"{traps} of {traps} traps wrong"
    assert int(rater["votes"]) == len(counted)
    with study.store.reading() as connection:
        files = exported(connection, study.settings, study.prepared, study.running.texts, study.clock())
    (tmp_path / "votes.csv").write_bytes(files["votes.csv"])
    again = read_votes(tmp_path / "votes.csv")
    assert len(again.counted()) == len(counted)
    found = json.loads(printed(capsys, "label", "mos", tmp_path / "votes.csv", "--json")[0])
    assert {row["id"]: row["votes"] for row in found["videos"] if row["votes"]} == {k: v for k, v in views.items() if v}


def test_traps_of_dcr_come_behind_their_reference(open_study: OpenStudy, clip: Path) -> None:
    prepared = of_two(prepared_of(clip, videos=12), "ref{n}", (1.0, 2.0, 3.0, 4.0, 5.0))
    study = open_study(prepared, method="dcr", sessions=1, session_minutes=5)
    take_part(study, lambda shown: shown["expected"] or 4.0)
    traps = [slot for slot in slots_of(study).values() if slot["kind"] == "trap"]
    assert traps
    assert all(slot["first"].startswith("ref") and slot["second"].startswith("trap") for slot in traps)
    (rater,) = table(study, "raters.csv")
    assert (int(rater["traps"]), rater["traps_wrong"], rater["anchors"]) == (len(traps), "0", "0")
    assert {row["mos"] for row in table(study, "videos.csv") if row["votes"] != "0"} == {"4"}


def test_differences_of_hidden_references_by_hand(open_study: OpenStudy, clip: Path) -> None:
    study = open_study(prepared_of(clip, videos=6, contents=3), method="acr-hr", sessions=1, trap_every=0, repeats=0)
    levels = {"v00": (2, 3), "v01": (4, 5), "v02": (1, 1), "v03": (3, 3), "v04": (5, 5), "v05": (2, 4)}
    references = {"ref0": (5, 4), "ref1": (4, 4), "ref2": (3, 5)}
    for rater in range(2):

        def answer(shown: dict[str, Any], rater: int = rater) -> float:
            return float({**levels, **references}.get(shown["first"], (3, 3))[rater])

        take_part(study, answer)
    rows = {row["id"]: row for row in table(study, "differences.csv")}
    for number, (id, votes) in enumerate(levels.items()):
        given = [v - r + 5 for v, r in zip(votes, references[f"ref{number % 3}"], strict=True)]
        assert float(rows[id]["dmos"]) == pytest.approx(np.mean(given))
        assert float(rows[id]["dmos_std"]) == pytest.approx(np.std(given, ddof=1))
        assert (rows[id]["reference"], rows[id]["raters"]) == (f"ref{number % 3}", "2")


def test_tone_mapping_is_named_with_every_mos(open_study: OpenStudy, clip: Path) -> None:
    prepared = prepared_of(clip, videos=4)
    mapped = [replace(e, tone_mapped="HLG") if e.id == "v01" and e.role == "video" else e for e in prepared.stimuli]
    study = open_study(replace(prepared, stimuli=mapped), sessions=1, repeats=0, trap_every=0)
    take_part(study, lambda shown: 3.0)
    assert {row["id"]: row["tone_mapped"] for row in table(study, "videos.csv")} == {
        "v00": "", "v01": "HLG", "v02": "", "v03": "",
    }  # fmt: skip
    with study.store.reading() as connection:
        found = findings(connection, study.settings)
        labels = labels_of(connection, study.settings, found, study.prepared).decode().splitlines()
        files = exported(connection, study.settings, study.prepared, study.running.texts, study.clock())
    assert labels[0] == "id,mos,mos_low,mos_high,votes,tone_mapped"
    assert [line.rpartition(",")[2] for line in labels[1:]] == ["", "HLG", "", ""]
    report = json.loads(files["study-report.json"])
    assert [row["tone_mapped"] for row in report["mos"]] == [None, "HLG", None, None]
    assert b"v01 (tone-mapped from HLG)" in files["study-report.html"]


def test_gmad_pairs_are_served_and_ranked(
    open_study: OpenStudy, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = tmp_path / "scored.csv"
    rng, rows = np.random.default_rng(0), []
    for number, quality in enumerate(np.linspace(1, 5, 60)):
        good, bad = quality + 0.2 * rng.normal(), quality + 2 * rng.normal()
        rows.append(f"v{number:02d},{clip},{good:.5f},{bad:.5f}\n")
    scored.write_text("id,path,good,bad\n" + "".join(rows), encoding="utf-8")
    folder = tmp_path / "game"
    find_pairs(scored, ["good", "bad"], folder)
    material = read_material(folder)
    assert material.settings.method == "pairs"
    names = [name for name, _, _ in material.pairs]
    assert names
    ids = [video.id for video in material.videos]
    base = prepared_of(clip, videos=len(ids))
    videos = [replace(each, id=id, reference="") for each, id in zip(base.of("video"), ids, strict=True)]
    prepared = Prepared([*videos, *base.of("training")], {}, material.pairs)
    study = open_study(prepared, method="pairs", sessions=1, session_minutes=60, repeats=0, trap_every=0)
    for _ in range(3):
        take_part(study, lambda shown: float(shown["first"] > shown["second"]))
    asked = [{s["first"], s["second"]} for s in slots_of(study).values() if s["rater"] == 1 and s["kind"] == "video"]
    assert sorted(map(sorted, asked)) == sorted(sorted(pair[1:]) for pair in material.pairs)
    with study.store.reading() as connection:
        files = exported(connection, study.settings, study.prepared, study.running.texts, study.clock())
    (tmp_path / "preferences.csv").write_bytes(files["preferences.csv"])
    rows = table(study, "preferences.csv")
    assert {row["pair"] for row in rows} == set(names)
    assert all(float(row["preference"]) == (row["left"] > row["right"]) for row in rows)
    assert {row["rater"] for row in rows} == {"r001", "r002", "r003"}
    ranked = json.loads(
        printed(capsys, "gmad", "rank", folder, "--preferences", tmp_path / "preferences.csv", "--json")[0]
    )
    # Three raters for whom a later video is always better: nearly what the good model says.
    assert (ranked["pairs"], ranked["raters"]) == (len(names), 3)
    assert [row["model"] for row in ranked["aggressiveness"]["ranking"]] == ["good", "bad"]
