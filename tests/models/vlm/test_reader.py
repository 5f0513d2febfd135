"""The real classes at a tiny size: batches, readings, adapters, attention, kills."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from kills import kill_often
from mdsvqa.models.base import ModelError, Score
from mdsvqa.models.checkpoints import find_checkpoint, weights_fingerprint
from mdsvqa.models.open import kind_of
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.answers import Answer, parse_answer
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, Prompt, resize_clip
from mdsvqa.models.vlm.expected import AnswerTree, expected_value, read_tree
from mdsvqa.models.vlm.families.qwen2_5_vl_tower import attend_windows
from mdsvqa.models.vlm.load import load_vlm
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.replies import Reply, score_of_replies
from mdsvqa.runtime.results import read_table
from mdsvqa.videos.clip import Clip

GENERATE, EXPECTED = VlmSettings(max_new_tokens=64), VlmSettings(reading="expected")


@pytest.fixture(scope="module")
def checkpoint(differing_vlm: Path):
    return load_checkpoint(GENERATE, str(differing_vlm))


@pytest.fixture(scope="module")
def clips(checkpoint) -> list[ModelClip]:
    """Clips of three sizes and three lengths."""
    rng = np.random.default_rng(5)
    shapes = [(2, 90, 160), (6, 160, 90), (4, 120, 120), (2, 120, 120), (6, 90, 160), (1, 100, 200), (4, 200, 100)]
    sight = VlmReader(checkpoint, GENERATE).sight
    made = []
    for number, (frames, height, width) in enumerate(shapes * 2):
        level = rng.integers(40, 215)
        pictures = np.clip(level + rng.normal(0, 4 + 5 * number, (frames, 3, height, width)), 0, 255).astype(np.uint8)
        clip = Clip(f"clip-{number}", pictures, np.arange(frames) * 0.5, 24.0, frames / 2)
        found = resize_clip(clip, sight)
        assert isinstance(found, ModelClip)
        made.append(found)
    return made


def with_lora(tiny_vlm: Path, folder: Path) -> Path:
    """A small adapter that changes every score."""
    from peft import LoraConfig, get_peft_model

    checkpoint = load_checkpoint(GENERATE, str(tiny_vlm))
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=r".*\.language_model\..*_proj", init_lora_weights=False)
    get_peft_model(checkpoint.model, config).save_pretrained(folder)
    return folder


def test_batches_give_the_parsed_scores_of_one_video_at_a_time(checkpoint, clips: list[ModelClip]) -> None:
    model = VlmReader(checkpoint, GENERATE)
    together = model.read(clips)
    alone = [model.read([clip])[0] for clip in clips]
    assert [(s.id, s.score, s.status, s.text) for s in together] == [(s.id, s.score, s.status, s.text) for s in alone]
    assert sum(score.status == "ok" for score in together) >= len(clips) // 3
    small = VlmReader(checkpoint, replace_settings(GENERATE, batch_tokens=700)).read(clips)
    assert [(s.id, s.score, s.text) for s in small] == [(s.id, s.score, s.text) for s in together]


def replace_settings(settings: VlmSettings, **changes: object) -> VlmSettings:
    return settings.model_copy(update=changes)


def test_expected_scores_of_a_batch_are_those_of_single_videos_and_have_no_ties(checkpoint, clips) -> None:
    model = VlmReader(checkpoint, EXPECTED)
    together = [score.score for score in model.read(clips)]
    alone = [model.read([clip])[0].score for clip in clips]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together)) == len(clips)
    assert all(1 <= score <= 5 for score in together)


def test_the_tree_in_one_pass_equals_a_pass_for_every_branch(checkpoint, clips: list[ModelClip]) -> None:
    model = VlmReader(checkpoint, EXPECTED)
    batch, tree = clips[:3], AnswerTree.of(model.answer)
    with torch.no_grad():
        first, behind = read_tree(model.family, model.model, model.batch(batch, [model.prompt] * 3), tree)
        for node in (0, 12, 13, 14 + 7, 36 + 2 + 9):
            path = tree.tokens[tree.visible[node]].tolist()
            longer = Prompt(model.prompt.before, [*model.prompt.after, *path])
            for row, clip in enumerate(batch):
                logits = model.model(**model.batch([clip], [longer])).logits[0]
                assert torch.allclose(logits[-1], behind[row, node], atol=1e-4)
                assert torch.allclose(logits[-1 - len(path)], first[row], atol=1e-4)


def test_the_tree_is_read_where_the_attention_takes_no_mask_for_each_token(checkpoint, clips, monkeypatch) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    model = VlmReader(checkpoint, EXPECTED)
    # One clip: a made-up attention gets no mask of the padding either.
    wanted = [score.score for score in model.read(clips[:1])]
    calls = []

    def like_flash_attention(module, query, *arguments, **options):
        calls.append(query.shape[2])
        return sdpa_attention_forward(module, query, *arguments, **options)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "like_flash", like_flash_attention)
    config = model.model.model.language_model.config
    monkeypatch.setattr(config, "_attn_implementation_internal", "like_flash")
    found = [score.score for score in model.read(clips[:1])]
    assert config._attn_implementation == "like_flash"
    assert found == pytest.approx(wanted, abs=1e-4)
    # It read the prompts, and not the tree.
    assert calls
    assert len(model._tree.tokens) not in calls


def test_the_expected_score_has_a_gradient_in_the_weights(checkpoint, clips: list[ModelClip]) -> None:
    model = VlmReader(checkpoint, EXPECTED)
    tree = AnswerTree.of(model.answer)
    value = expected_value(
        *read_tree(model.family, model.model, model.batch(clips[:2], [model.prompt] * 2), tree), model.answer
    ).value
    weight = model.model.model.language_model.layers[0].self_attn.q_proj.weight
    (gradient,) = torch.autograd.grad(value.sum(), weight)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_the_expected_score_at_the_answer_of_a_reply_lies_near_what_was_written(checkpoint, clips) -> None:
    scores = [score for score in VlmReader(checkpoint, GENERATE).read(clips) if score.status == "ok"]
    assert all(score.expected is not None and 1 <= score.expected <= 5 for score in scores)


def test_drawn_replies_have_a_mean_and_a_spread_and_are_the_same_again(checkpoint, clips: list[ModelClip]) -> None:
    model = VlmReader(checkpoint, replace_settings(GENERATE, samples=4))
    scores = model.read(clips[:4])
    assert scores == model.read(clips[:4])
    drawn = [score for score in scores if score.status == "ok"]
    assert drawn
    assert any(score.spread is not None and score.spread > 0 for score in drawn)


def test_frames_in_memory_are_scored_like_files(checkpoint) -> None:
    pictures = np.full((2, 3, 90, 160), 128, np.uint8)
    scores = VlmReader(checkpoint, EXPECTED).score(
        [Clip("flat", pictures, np.array([0.0, 0.5])), Clip("thin", np.zeros((1, 3, 1, 300), np.uint8), np.zeros(1))]
    )
    assert [score.status for score in scores] == ["ok", "undecodable"]


def test_an_adapter_changes_scores_and_merging_it_does_not_change_them_again(differing_vlm, tmp_path, clips) -> None:
    folder = with_lora(differing_vlm, tmp_path / "adapter")
    plain = load_vlm(str(differing_vlm), EXPECTED)[0].read(clips)
    adapted, maker = load_vlm(str(differing_vlm), replace_settings(EXPECTED, adapter=str(folder)))
    merged, _ = load_vlm(str(differing_vlm), replace_settings(EXPECTED, adapter=str(folder), merge=True))
    values = [score.score for score in adapted.read(clips)]
    assert values != [score.score for score in plain]
    assert values == pytest.approx([score.score for score in merged.read(clips)], abs=1e-4)
    assert maker["adapter_weights"] == weights_fingerprint(folder)


def test_a_batch_that_does_not_fit_is_halved_and_one_video_too_many_fails(checkpoint, clips, monkeypatch) -> None:
    model = VlmReader(checkpoint, GENERATE)
    wanted = model.read(clips)
    run = model.replies

    def tight(part: list[ModelClip], *arguments: object, **options: object):
        if len(part) > 2 or any(clip.id == "clip-3" for clip in part):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(part, *arguments, **options)

    monkeypatch.setattr(model, "replies", tight)
    found = model.read(clips)
    assert [s.score for s in found if s.id != "clip-3"] == [s.score for s in wanted if s.id != "clip-3"]
    assert next(s for s in found if s.id == "clip-3").status == "failed"


def test_packed_windows_attend_like_windows_one_by_one() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 50, 2, 8)
    for bounds in ([0, 10, 20, 30, 40, 50], [0, 4, 20, 24, 34, 50]):
        found = attend_windows(query, key, value, torch.tensor(bounds), 0.3)
        for start, stop in itertools.pairwise(bounds):
            weights = torch.einsum("qhd,khd->hqk", query[start:stop], key[start:stop]) * 0.3
            slow = torch.einsum("hqk,khd->qhd", weights.softmax(-1), value[start:stop])
            assert torch.allclose(found[start:stop], slow, atol=1e-5)


def test_several_replies_make_a_score_when_half_of_them_can_be_read() -> None:
    def reply(text: str) -> Reply:
        return Reply(text, parse_answer(f"<answer>{text}</answer>"), None)

    assert score_of_replies("a", [reply("3"), reply("4"), reply("x")]) == Score("a", 3.5, "ok", "3", 0.5**0.5)
    assert score_of_replies("a", [reply("3"), reply("x"), reply("y")]).status == "unparsable"
    assert score_of_replies("a", [reply("9"), reply("0"), reply("y")]).status == "out_of_range"
    assert reply("3").answer == Answer(3.0, "ok")


def test_what_is_no_checkpoint_is_named_with_the_way_out(tiny_vlm: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        find_checkpoint(str(tmp_path / "nowhere" / "at" / "all"))
    with pytest.raises(ModelError, match=r"no readable config\.json"):
        load_checkpoint(GENERATE, str(tmp_path))
    with pytest.raises(ModelError, match="name it by --adapter"):
        load_checkpoint(GENERATE, str(with_lora(tiny_vlm, tmp_path / "adapter")))
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        load_checkpoint(GENERATE, str(tiny_vlm), str(tiny_vlm))
    other = shutil.copytree(tiny_vlm, tmp_path / "other")
    (other / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    with pytest.raises(ModelError, match="is a LlamaForCausalLM"):
        load_checkpoint(GENERATE, str(other))
    pickled = shutil.copytree(tiny_vlm, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_checkpoint(GENERATE, str(pickled))
    with pytest.raises(ModelError, match="bitsandbytes"):
        load_checkpoint(replace_settings(GENERATE, load_in_4bit=True), str(tiny_vlm))


@pytest.mark.parametrize(
    ("model", "expected"),
    [("statistical", False), ("precomputed", False), ("m.safetensors", False), ("a.b:C", False), ("owner/name", True)],
)
def test_a_name_says_whether_it_is_a_vision_language_model(model: str, expected: bool) -> None:
    assert (kind_of(model) == "checkpoint") is expected


@pytest.mark.slow
def test_ten_kills_and_a_rerun_score_like_one_undisturbed_run(differing_vlm, small_corpus, tmp_path: Path) -> None:
    folder = shutil.copytree(small_corpus.parent / "videos", tmp_path / "videos")
    # Twice: enough windows to be killed in.
    for path in list(folder.iterdir()):
        shutil.copy(path, folder / f"again-{path.name}")
    (folder / "empty.mp4").touch()
    whole = next(iter(sorted(folder.glob("source*")))).read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    command = [
        "score",
        str(folder),
        "--model",
        str(differing_vlm),
        "--max-new-tokens",
        "48",
        "--workers",
        "2",
        "--out",
    ]
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    kill_often([*command, str(undisturbed)], [*command, str(killed)], tmp_path, 10)
    rows = read_table(undisturbed).to_pylist()
    assert len(rows) == len(list(folder.iterdir()))
    assert {row["id"] for row in rows if row["status"] == "undecodable"} == {"empty.mp4", "truncated.mp4"}
    assert read_table(killed).to_pylist() == rows


def test_a_hub_name_without_network_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mdsvqa", "score", str(tmp_path), "--model", "hollow404/VQR1-7B-YouTubeUGC"]
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")}
    (tmp_path / "a.mp4").touch()
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    message = done.stderr.decode().strip().splitlines()[-1]
    for part in ("hollow404/VQR1-7B-YouTubeUGC", "http://127.0.0.1:9", "--local-dir"):
        assert part in message
