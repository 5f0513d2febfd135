"""Fine-tuning of the tiny model: training sets, guards, the command line, kills, GRPO's log-probabilities."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from typer.testing import CliRunner

from mdsvqa.cli.app import app
from mdsvqa.models.base import Score
from mdsvqa.models.settings import VlmFinetuning, VlmSettings
from mdsvqa.models.training.adapter_trainer import AdapterTrainer
from mdsvqa.models.training.fidelity_and_text import reply_tokens
from mdsvqa.models.training.finetune import compare, read_comparison
from mdsvqa.models.training.loop import Stop
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.training.training_set import merge
from mdsvqa.models.training.watch import HeldOutMonitor
from mdsvqa.models.vlm.clips import Prompt
from mdsvqa.models.vlm.token_sampling import token_log_probabilities
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.video import Video

STEPS = ["--steps", "6", "--batch-size", "8", "--learning-rate", "0.001", "--evaluations", "3", "-j", "1"]


def labeled(name: str, count: int, dataset: str) -> list[Video]:
    return [Video(f"{name}-{k:02d}", Path(f"{name}-{k}.mp4"), dataset, "train", 1 + k / 50) for k in range(count)]


def test_new_labels_are_a_data_set_of_their_own_and_the_merge_can_be_read(tmp_path: Path) -> None:
    source, new = labeled("s", 40, "ugc"), labeled("n", 10, "ugc")
    # A source video that was rated anew is new.
    new.append(replace(source[3], mos=4.5))
    found = merge(source, new, 0.2, seed=1)
    assert found.names == ["ugc", "ugc (new labels)"]
    assert found.new.sum() == 11
    assert len(found.videos) == 50
    # 39 videos give a fifth away; 11 give none.
    assert found.held_out.sum() == 8
    assert not found.held_out[found.new].any()
    found.write(tmp_path / "set.csv")
    rows = list(csv.DictReader((tmp_path / "set.csv").open()))
    assert [row["id"] for row in rows] == sorted(
        (row["id"] for row in rows), key=lambda i: ([r["dataset"] for r in rows if r["id"] == i], i)
    )
    assert next(row for row in rows if row["id"] == "s-03") == {
        "id": "s-03",
        "path": str(Path("s-3.mp4").absolute()),
        "dataset": "ugc (new labels)",
        "mos": "4.5",
        "new": "1",
        "held_out": "0",
    }
    with pytest.raises(InputError, match="at least 30 labels"):
        merge(source[:20], new, 0.2, seed=1)


def test_a_difference_that_is_certain_is_called_by_its_name() -> None:
    mos = np.linspace(1, 5, 40)
    noise = np.random.default_rng(0).normal(size=40)
    better = compare("x", mos + 3 * noise, mos + 0.1 * noise, mos)
    assert better is not None
    assert better.verdict == "better"
    worse = compare("x", mos, -mos, mos)
    assert worse is not None
    assert (worse.gain.value, worse.verdict) == (pytest.approx(-2), "worse")
    same = compare("x", mos + noise, mos + noise, mos)
    assert same is not None
    assert "not distinguishable" in str(same)
    assert compare("x", mos[:4], mos[:4], mos[:4]) is None


@pytest.fixture(scope="module")
def trainer(tiny_vlm: Path, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> AdapterTrainer:
    training = VlmFinetuning(max_new_tokens=48)
    made = AdapterTrainer.load(
        str(tiny_vlm), VlmSettings(), training, tmp_path_factory.mktemp("trainer"), Silent(), Processes()
    )
    made.decode(load_videos(small_corpus), 1)
    return made


def test_any_digit_of_an_answer_is_as_good_as_the_one_that_was_written(
    trainer: AdapterTrainer, small_corpus: Path
) -> None:
    one, other = (
        reply_tokens(trainer.writer, f"<think>It is 3 of 5.</think>\n<answer>{n}</answer>") for n in ("3.42", "4.42")
    )
    decode = trainer.writer.tokenizer.decode
    assert decode([token for token, loose in zip(*one, strict=True) if loose]) == "342"
    assert one[0][-1] == trainer.writer.tokenizer.eos_token_id
    clip = trainer.cache.load(load_videos(small_corpus)[0])
    with torch.no_grad():
        loose = [token_log_probabilities(trainer.writer, [clip], [t], [d])[0] for t, d in (one, other)]
        strict = token_log_probabilities(trainer.writer, [clip], [one[0]])[0]
    place = one[1].index(True)
    # The first digits count the same, and at least as much as the one that was written.
    assert loose[0][place] == loose[1][place]
    assert loose[0][place] > strict[place]
    assert torch.equal(loose[0][:place], strict[:place])


class Scripted:
    """A reader or writer that gives what it is told."""

    def __init__(self, scores: list[Score], model: object = None) -> None:
        self.scores, self.model, self.prompt = scores, model, None

    def read(self, clips: list[int]) -> list[Score]:
        return [self.scores[clip] for clip in clips]


def test_collapse_and_broken_form_stop_with_their_reason(
    trainer: AdapterTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvqa.models.training.watch.divergence", lambda *_: 0.0)
    mos = np.linspace(1, 5, 10)
    reader = Scripted([Score(str(k), float(m)) for k, m in enumerate(mos)], trainer.model)
    writer = Scripted([Score(str(k), 3.0) for k in range(10)])
    settings, places = VlmFinetuning(), [0, 3, 6, 9]
    watch = HeldOutMonitor(reader, writer, lambda k: k, mos, np.zeros(10, np.int64), places, settings, Processes())  # type: ignore[arg-type]
    assert watch() == {"srcc": pytest.approx(1.0), "spread": pytest.approx(mos.std()), "well_formed": 1.0, "kl": 0.0}
    # Three of four: not good enough to be kept, not bad enough to stop.
    writer.scores[3] = Score("3", None, "unparsable")
    assert math.isnan(watch()["srcc"])
    for place in (0, 6):
        writer.scores[place] = Score(str(place), None, "unparsable")
    with pytest.raises(Stop, match="the form broke: 25%"):
        watch()
    reader.scores = [Score(str(k), 3 + m / 100) for k, m in enumerate(mos)]
    with pytest.raises(Stop, match=r"collapsed: their standard deviation is 0\.013"):
        watch()


@pytest.fixture(scope="module")
def labels(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the pool's 24 videos."""
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    pool = [video for video in load_videos(small_corpus) if video.split == "pool"]
    path.write_text("id,mos\n" + "".join(f"{video.id},{video.mos}\n" for video in pool[:16]))
    path.with_name("audit.csv").write_text("id,mos\n" + "".join(f"{video.id},{video.mos}\n" for video in pool[16:]))
    return path


def command(small_corpus: Path, tiny_vlm: Path, labels: Path, out: Path, *more: str) -> list[str]:
    audit = ["--audit", str(labels.with_name("audit.csv"))]
    where = ["--labels", str(labels), "--model", str(tiny_vlm), "--out", str(out)]
    return ["finetune", str(small_corpus), *where, *audit, *STEPS, *more]


@pytest.mark.slow
def test_kills_and_reruns_end_in_the_same_adapter_with_its_card(
    small_corpus: Path, tiny_vlm: Path, labels: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    result = CliRunner().invoke(app, command(small_corpus, tiny_vlm, labels, whole, "--json"))
    assert result.exit_code == 0, result.output
    told = json.loads(result.output.splitlines()[-1])
    assert [line["step"] for line in told["log"]] == [0, 2, 4, 6]
    assert {"srcc", "spread", "well_formed", "kl"} <= told["log"][0].keys()
    assert [each["videos"] for each in told["compared"]] == ["held-out simulated-source", "audit sample"]
    card = (whole / "README.md").read_text()
    assert "audit sample (8 videos): SRCC" in card
    assert "16 of them labeled for this training" in card
    assert read_comparison(whole)[1].n == 8

    killed = tmp_path / "killed"
    arguments = [sys.executable, "-m", "mdsvqa", *command(small_corpus, tiny_vlm, labels, killed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    checkpoint = killed / "checkpoint.safetensors"
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    for name in ("adapter_model.safetensors", "README.md", "comparison.json", "training_set.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def test_grpo_trains_and_its_log_probabilities_are_those_of_a_plain_pass(
    small_corpus: Path, any_vlm: Path, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    from mdsvqa.models.training import grpo

    videos = load_videos(small_corpus)
    source = [video for video in videos if video.split == "train"]
    training = VlmFinetuning(
        objective="grpo",
        steps=2,
        batch_size=4,
        generations=2,
        learning_rate=1e-4,
        evaluations=1,
        max_new_tokens=40,
        watched=2,
    )
    trainer = AdapterTrainer.load(str(any_vlm), VlmSettings(), training, tmp_path, Silent(), Processes())
    trainer.decode(videos, 1)
    known = merge(source, [], 0.2, seed=0)
    seen: dict[str, torch.Tensor] = {}
    plain = grpo.VideoGRPOTrainer._get_per_token_logps_and_entropies

    def recorded(self, model, input_ids, attention_mask, logits_to_keep, *arguments, **keywords):
        found = plain(self, model, input_ids, attention_mask, logits_to_keep, *arguments, **keywords)
        if not seen and found[0].requires_grad:
            places = list(self._places)
            seen.update(ids=input_ids, mask=attention_mask, found=found[0].detach(), places=places)
            assert self._logits(model, input_ids, attention_mask, places, logits_to_keep).shape[1] == logits_to_keep
            check(self, model, seen)
        return found

    def check(trainer, model, seen) -> None:
        training_mode = model.training
        model.eval()
        with torch.no_grad():
            keep = seen["found"].shape[1]
            batched = plain(trainer, model, seen["ids"], seen["mask"], keep)[0]
            for row, place in enumerate(seen["places"]):
                written = seen["mask"][row, -keep:] > 0
                reply = seen["ids"][row, -keep:][written].tolist()
                reader = trainer.writer
                prompt = Prompt(reader.prompt.before, [*reader.prompt.after, *reply])
                logits = model(**reader.batch([trainer.load(place)], [prompt])).logits[0].float()
                logits[:, reader.suppressed] = -torch.inf
                steps = logits.log_softmax(-1)
                start = len(steps) - len(reply)
                alone = torch.stack([steps[start + k - 1, token] for k, token in enumerate(reply)])
                torch.testing.assert_close(batched[row][written], alone, rtol=1e-3, atol=2e-3)
        model.train(training_mode)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grpo.VideoGRPOTrainer, "_get_per_token_logps_and_entropies", recorded)
        course = trainer.train(known)
    assert seen
    assert course.log[-1]["step"] == 2
    assert {"grpo_reward", "grpo_kl", "grpo_unparsable"} <= course.log[-1].keys()


def test_another_version_of_trl_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl")
    from mdsvqa.models.training import grpo

    monkeypatch.setattr(grpo, "version", lambda name: "9.9.9")
    with pytest.raises(InputError, match=r"trl 9\.9\.9 is installed, and it needs 1\.16\.0"):
        grpo.check_version()
