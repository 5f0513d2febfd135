import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kills import kill_often
from mdsvqa.models.statistical.kernel_model import KernelModel
from mdsvqa.report.figures import measure
from mdsvqa.report.write import write_results
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent, terminal
from mdsvqa.runtime.results import TableError, read_table
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.study.config import read_study
from mdsvqa.study.run import run_study

WriteStudy = Callable[..., Path]


def manifest_rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open() as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, str]], manifest: Path) -> Path:
    """Rows of the corpus's manifest as another manifest, with absolute paths."""
    rows = [{**row, "path": str(manifest.parent / row["path"])} for row in rows]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def without_pool_mos(manifest: Path, folder: Path) -> Path:
    rows = manifest_rows(manifest)
    hidden = [{**row, "mos": "", "mos_std": ""} if row["split"] == "pool" else row for row in rows]
    return write_rows(folder / "unlabeled.csv", hidden, manifest)


def contents(out: Path) -> dict[str, object]:
    """Every result in a folder: tables as rows, models as bytes, the summary as JSON but for the last digits of sums,
    which depend on where in memory numbers lie."""
    found: dict[str, object] = {}
    for meta in sorted(out.rglob("*meta.json")):
        folder = meta.parent
        found[str(folder.relative_to(out))] = [meta.read_text(), read_table(folder).to_pylist()]
    for model in sorted(out.rglob("*.safetensors")):
        found[str(model.relative_to(out))] = model.read_bytes()
    found["summary"] = json.loads((out / "summary.json").read_text(), parse_float=lambda text: f"{float(text):.12g}")
    return found


def test_the_loop_ends_in_a_fine_tuned_model_a_comparison_and_a_page(write_study: WriteStudy) -> None:
    study = write_study(comparison={"rules": ["mds", "k-means", "core-set", "difficulty"], "seeds": 2})
    config = read_study(study)
    outcome = run_study(config, Silent())
    assert outcome.waiting_for == ""
    assert len(outcome.selected) == 4
    assert len(outcome.scores) == 2
    assert {trial.rule for trial in outcome.rule_runs} == {
        *("random", "mds", "k-means", "core-set", "difficulty", "everything")
    }
    assert all(len(trial.selected) == 4 for trial in outcome.rule_runs if trial.rule != "everything")
    figures = measure(config, outcome)
    assert next(iter(figures.rules)) == "base"
    assert figures.rules["mds"][0].over_random is not None
    summary, page = write_results(config, outcome, figures)
    assert summary["selected"] == [row["id"] for row in outcome.selected]
    html = page.read_text()
    assert "Simulated" in html
    assert all(row["id"] in html for row in outcome.selected)
    saved = KernelModel.load(config.out / "round-1" / "model.safetensors")
    after = np.clip(saved.predict(outcome.data.features), 1, 5)
    np.testing.assert_array_equal(after, outcome.scores[-1])


def test_two_rounds_choose_different_videos_and_predict_failures_again(write_study: WriteStudy) -> None:
    config = read_study(write_study(rounds=2, selection={"budget": 6}))
    outcome = run_study(config, Silent())
    ids = [row["id"] for row in outcome.selected]
    assert len(set(ids)) == 6
    assert [row["rank"] for row in outcome.selected] == [1, 2, 3, 4, 5, 6]
    assert [row["round"] for row in outcome.selected] == [1, 1, 1, 2, 2, 2]
    first, second = (read_table(config.out / f"round-{turn}" / "difficulty") for turn in (1, 2))
    assert first["difficulty"].to_pylist() != second["difficulty"].to_pylist()
    assert len(outcome.scores) == 3


def test_without_labels_the_loop_asks_for_them_and_goes_on_when_they_are_there(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path
) -> None:
    manifest = without_pool_mos(small_corpus, tmp_path)
    study = write_study(videos=str(manifest), labels="labels.csv")
    outcome = run_study(read_study(study), Silent())
    assert "labels.csv" in outcome.waiting_for
    wanted = manifest_rows(tmp_path / "results" / "round-1" / "to_label.csv")
    assert [row["id"] for row in wanted] == [row["id"] for row in outcome.selected]
    assert all(Path(row["path"]).is_file() for row in wanted)

    mos = {row["id"]: row["mos"] for row in manifest_rows(small_corpus)}
    answers = [f"{row['id']},{mos[row['id']]}" for row in wanted]
    (tmp_path / "labels.csv").write_text("\n".join(["id,mos", *answers[:-1]]) + "\n")
    assert "1 video needs labels" in run_study(read_study(study), Silent()).waiting_for
    last = wanted[-1]["id"]
    (tmp_path / "labels.csv").write_text("\n".join(["id,mos", *answers[:-1], f"{last},"]) + "\n")
    done = run_study(read_study(study), Silent())
    assert done.waiting_for == ""
    assert len(done.scores) == 2


def test_a_video_that_could_not_be_rated_is_not_chosen_again(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path
) -> None:
    manifest = without_pool_mos(small_corpus, tmp_path)
    study = write_study(videos=str(manifest), labels="labels.csv", rounds=2, selection={"budget": 4})
    first = [row["id"] for row in run_study(read_study(study), Silent()).selected]
    (tmp_path / "labels.csv").write_text(f"id,mos\n{first[0]},\n{first[1]},3.5\n")
    both = [row["id"] for row in run_study(read_study(study), Silent()).selected]
    assert both[:2] == first
    assert len(set(both)) == 4


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """See `Show`."""
        self.notes.append(text)


def test_what_was_quick_is_made_anew_by_other_settings_and_told(write_study: WriteStudy) -> None:
    run_study(read_study(write_study()), Silent())
    other, show = read_study(write_study(selection={"budget": 4, "lambda": 0.5})), Notes()
    chosen = run_study(other, show).selected
    (said,) = [note for note in show.notes if "round-1/selection: made anew" in note]
    assert "lambda: " in said
    assert chosen == run_study(other, Silent()).selected


def test_labels_are_taken_from_the_list_where_it_lies_and_never_lost(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path
) -> None:
    manifest = without_pool_mos(small_corpus, tmp_path)
    study = write_study(videos=str(manifest))
    first = run_study(read_study(study), Silent())
    assert first.waiting is not None
    place = tmp_path / "results" / "round-1" / "to_label.csv"
    assert (first.waiting.count, first.waiting.to_label, first.waiting.labels) == (4, place, None)
    rows = place.read_text().splitlines()
    place.write_text(
        "\n".join([rows[0], *(f"{row.removesuffix(',,')},3.{n}," for n, row in enumerate(rows[1:4])), rows[4]])
    )
    filled, show = place.read_text(), Notes()
    assert "1 video needs labels" in run_study(read_study(study), show).waiting_for
    assert f"{place}: 3 labels taken" in show.notes
    assert place.read_text() == filled
    changed = read_study(write_study(videos=str(manifest), selection={"budget": 6}))
    words = r"round-1/selection.*budget: 4 there, 6 now.*would cost the choice behind 3 labels that people gave"
    with pytest.raises(TableError, match=words):
        run_study(changed, Silent())
    anew = run_study(changed, Silent(), overwrite=True)
    assert len(anew.selected) == 6
    answered = {row["id"]: row["mos"] for row in manifest_rows(place) if row["mos"]}
    assert sorted(answered.values()) == ["3.0", "3.1", "3.2"]
    known = sum(row["id"] in answered for row in anew.selected)
    assert f"{6 - known} videos need labels" in anew.waiting_for
    place.write_text(place.read_text().replace(next(iter(answered)), next(iter(answered)) + "x"))
    show = Notes()
    run_study(changed, show)
    assert any(f"(did you mean '{next(iter(answered))}'?)" in note for note in show.notes)


def test_a_model_given_as_predictions_gets_a_selection_and_a_training_set(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path
) -> None:
    rows = manifest_rows(small_corpus)
    for name, noise in (("before.csv", 1.0), ("after.csv", 0.1)):
        rng = np.random.default_rng(0)
        scored = [f"{row['id']},{float(row['mos']) + noise * rng.normal():.3f}" for row in rows]
        (tmp_path / name).write_text("\n".join(["id,score", *scored]) + "\n")
    quality = {"model": "precomputed", "predictions": "before.csv"}
    first = run_study(read_study(write_study(quality=quality)), Silent())
    assert "scores_after" in first.waiting_for
    training = manifest_rows(tmp_path / "results" / "training_set.csv")
    new = [row for row in training if row["dataset"].endswith("(new labels)")]
    assert {row["id"] for row in new} == {row["id"] for row in first.selected}
    assert len(training) == 32 + 4
    config = read_study(write_study(quality={**quality, "scores_after": "after.csv"}))
    second = run_study(config, Silent())
    assert second.waiting_for == ""
    figures = measure(config, second)
    assert figures.target["round 1"].metrics["srcc"].value > figures.target["base"].metrics["srcc"].value


def test_a_comparison_without_the_mos_of_the_pool_is_an_error_that_says_so(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path
) -> None:
    manifest = without_pool_mos(small_corpus, tmp_path)
    labels = [f"{row['id']},{row['mos']}" for row in manifest_rows(small_corpus) if row["split"] == "pool"]
    (tmp_path / "labels.csv").write_text("\n".join(["id,mos", *labels]) + "\n")
    study = write_study(videos=str(manifest), labels="labels.csv", comparison={"rules": ["mds"]})
    with pytest.raises(ConfigError, match=r"MOS of the whole pool.*found 24 pool videos without MOS"):
        run_study(read_study(study), Silent())
    assert not (tmp_path / "results" / "scores").exists()


def test_a_pool_of_features_needs_no_video_files(write_study: WriteStudy, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(90, 5))
    mos = np.clip(3 + features[:, 0] + 0.1 * rng.normal(size=90), 1, 5)
    splits = ["train"] * 50 + ["pool"] * 25 + ["test"] * 15
    datasets = ["old"] * 50 + ["new"] * 40
    lines = [f"v{i:03d},{datasets[i]},{splits[i]},{mos[i]:.4f}" for i in range(90)]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,dataset,split,mos", *lines]) + "\n")
    values = [f"v{i:03d}," + ",".join(f"{value:.5f}" for value in features[i]) for i in range(90)]
    (tmp_path / "features.csv").write_text("\n".join(["id,a,b,c,d,e", *values]) + "\n")
    config = read_study(write_study(videos="manifest.csv", quality={"features": "features.csv"}))
    outcome = run_study(config, Silent())
    assert measure(config, outcome).target["round 1"].metrics["srcc"].value > 0.7
    assert not (config.out / "features").exists()


def test_a_study_without_pool_or_source_says_what_is_missing(write_study: WriteStudy, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("id,split,mos\na,train,3\nb,train,4\n")
    (tmp_path / "features.csv").write_text("id,x\na,1\nb,2\n")
    study = write_study(videos="manifest.csv", quality={"features": "features.csv"})
    with pytest.raises(InputError, match="split 'pool'"):
        run_study(read_study(study), Silent())


@pytest.mark.slow
def test_ten_kills_and_a_rerun_end_in_the_tables_of_an_undisturbed_run(write_study: WriteStudy, tmp_path: Path) -> None:
    settings = {"rounds": 2, "comparison": {"rules": ["mds", "k-means"], "seeds": 2}}
    undisturbed = write_study("undisturbed.yaml", out="undisturbed", **settings)
    disturbed = write_study("disturbed.yaml", out="disturbed", **settings)
    kill_often(["run", str(undisturbed)], ["run", str(disturbed)], tmp_path)
    assert contents(tmp_path / "disturbed") == contents(tmp_path / "undisturbed")
    assert not [shard for shard in (tmp_path / "disturbed").rglob("*.parquet") if pq.read_metadata(shard).num_rows == 0]


def test_a_mended_video_joins_on_request_and_the_difficulties_are_those_of_the_new_pool(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path
) -> None:
    manifest = without_pool_mos(small_corpus, tmp_path)
    rows = manifest_rows(manifest)
    place = next(i for i, row in enumerate(rows) if row["split"] == "pool")
    whole = rows[place]["path"]
    rows[place]["path"] = str(tmp_path / "not there.mp4")
    study = write_study(videos=str(write_rows(manifest, rows, small_corpus)))
    before = run_study(read_study(study), Silent())
    assert before.data.failures.keys() == {rows[place]["id"]}
    rows[place]["path"] = whole
    write_rows(manifest, rows, small_corpus)
    assert run_study(read_study(study), Silent()).selected == before.selected
    mended = run_study(read_study(study), Silent(), overwrite=True)
    fresh = run_study(read_study(write_study(videos=str(manifest), out="fresh")), Silent())
    assert not mended.data.failures
    np.testing.assert_array_equal(mended.difficulty, fresh.difficulty)
    assert mended.selected == fresh.selected


def test_a_model_that_is_not_there_is_said_before_anything_is_decoded(write_study: WriteStudy, tmp_path: Path) -> None:
    for model in ("missing.safetensors", "nobody.model:Class"):
        with pytest.raises(InputError, match=r"missing|nobody"):
            run_study(read_study(write_study(quality={"model": model})), Silent())
    assert not (tmp_path / "results").exists()


def test_labels_that_do_not_go_with_the_manifest_are_pointed_out(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("id;mos\nmistyped;3\n")
    (tmp_path / "gone.csv").write_text("id\nnobody\n")
    study = write_study(labels="labels.csv")
    with pytest.raises(InputError, match=r"labels\.csv: its one id is not in the pool; found such as 'mistyped'"):
        run_study(read_study(study), Silent())
    rows = [row for row in manifest_rows(small_corpus) if row["split"] == "pool"]
    first, second = rows[0], rows[1]
    wrong = 1.5 if float(first["mos"]) > 2 else 4.5
    (tmp_path / "labels.csv").write_text(f"id;mos\nmistyped;3\n{first['id']};{wrong}\n{second['id']};{second['mos']}\n")
    (tmp_path / "gone.csv").write_text(f"id\nnobody\n{rows[2]['id']}\n")
    study = write_study(labels="labels.csv", out="other", selection={"budget": 100, "exclude": "gone.csv"})
    with terminal() as show:
        result = run_study(read_study(study), show)
    said = capsys.readouterr().err
    assert "labels.csv: 1 of its 3 ids is not in the pool, such as 'mistyped'." in said
    assert "gone.csv: 1 of its 2 ids is not in" in said
    assert f"such as {float(first['mos']):g} there and {wrong:g} here for {first['id']!r}" in said
    assert "The budget of 100 videos is more than the 23 that there are to choose from." in result.notes
    assert len(result.selected) == 23


def test_files_that_are_not_there_are_said_before_anything_is_decoded(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = manifest_rows(small_corpus)
    for row in rows:
        row["path"] = "elsewhere/" + row["path"]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    study = write_study(videos="manifest.csv")
    whole = tmp_path / "elsewhere" / manifest_rows(small_corpus)[0]["path"]
    with pytest.raises(InputError, match=rf"not one of its 76 files is there; looked for {re.escape(str(whole))}"):
        run_study(read_study(study), Silent())
    assert not (tmp_path / "results" / "features").exists()


def test_a_vision_language_model_is_scored_once_and_the_page_shows_both_readings(
    write_study: WriteStudy, tiny_vlm: Path, tmp_path: Path
) -> None:
    quality = {"model": str(tiny_vlm), "vlm": {"max_new_tokens": 48}}
    training = {"steps": 4, "batch_size": 8, "evaluations": 2, "learning_rate": 1e-3, "watched": 4}
    failure = {"adapter": "train", "vlm": {"steps": 3, "batch_size": 8, "evaluations": 1, "learning_rate": 1e-3}}
    config = read_study(write_study(quality=quality, difficulty=failure, finetuning={"vlm": training}))
    outcome = run_study(config, Silent())
    assert set(outcome.readings) == {"parsed answer", "expected score"}
    assert len(outcome.selected) == 4
    # The simulated pool has labels: the loop goes on to the fine-tuned model.
    assert len(outcome.scores) == 2
    assert any("Fine-tuned model on held-out simulated-source" in note for note in outcome.notes)
    for adapter in ("failure-predictor", "finetuned"):
        assert (config.out / adapter / "adapter_model.safetensors").is_file()
    _, page = write_results(config, outcome, measure(config, outcome))
    text = page.read_text()
    assert "Ways to read the base model" in text
    assert "expected score" in text
    again = run_study(config, Silent())
    assert np.array_equal(again.scores[0], outcome.scores[0])


def test_an_audit_is_measured_on_and_not_learned_from(write_study: WriteStudy, tmp_path: Path) -> None:
    known = read_study(write_study()).videos
    rows = manifest_rows(known)
    for place, row in enumerate(rows):
        row["uploader"] = f"up{place % 3}"
    manifest = write_rows(tmp_path / "grouped.csv", rows, known)
    limits = {"group": "uploader", "most_per_group": 5}
    study = write_study(videos=str(manifest), selection={"budget": 12, "audit": 0.5, **limits}, rounds=2)
    config = read_study(study)
    outcome = run_study(config, Silent())
    audit = [row["id"] for row in outcome.selected if row["rule"] == "audit"]
    assert len(outcome.selected) == 12
    # All of it in the first round.
    assert audit == [row["id"] for row in outcome.selected[:6]] == list(outcome.audit)
    uploader = {row["id"]: row["uploader"] for row in rows}
    taken = [uploader[row["id"]] for row in outcome.selected]
    assert max(taken.count(name) for name in set(taken)) <= 5
    figures = measure(config, outcome)
    assert list(figures.audit) == ["base", "round 1", "round 2"]
    summary, page = write_results(config, outcome, figures)
    assert "On the audit, 6 pool videos drawn at random that nothing learned from: SRCC" in page.read_text()
    assert summary["audit"]["round 2"]["srcc"]["value"] == figures.audit["round 2"].metrics["srcc"].value
    # Other MOS of the audit change what is measured, and not the model.
    for row in rows:
        row["mos"] = "3.0" if row["id"] == audit[0] else row["mos"]
    other = write_rows(tmp_path / "other.csv", rows, known)
    again = read_study(
        write_study(
            videos=str(other), selection={"budget": 12, "audit": 0.5, **limits}, rounds=2, out=str(tmp_path / "again")
        )
    )
    outcome = run_study(again, Silent())
    models = [c.out / "round-2" / "model.safetensors" for c in (config, again)]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_the_committee_chooses_by_its_spread(write_study: WriteStudy) -> None:
    config = read_study(
        write_study(selection={"rule": "committee", "budget": 4}, comparison={"rules": ["committee"], "seeds": 2})
    )
    outcome = run_study(config, Silent())
    rows = read_table(config.out / "round-1" / "difficulty").to_pylist()
    rows.sort(key=lambda row: -row["difficulty"])
    assert [row["id"] for row in outcome.selected] == [row["id"] for row in rows[:4]]
    assert (
        json.loads((config.out / "round-1" / "difficulty" / "_predictor.json").read_text())["predictor"] == "committee"
    )
    assert {trial.rule for trial in outcome.rule_runs} == {"random", "committee", "everything"}
