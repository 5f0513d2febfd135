import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file
from typer.testing import CliRunner

from mdsvqa.cli.app import app
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.merging import merge_checkpoint
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.run import Run

from .test_adapters import ADAPTER, BASE, logits, made_by_peft, off, stored, tied

SINGLE = VlmSettings(dtype="float32")


def test_what_is_written_gives_the_logits_of_base_and_adapter_and_says_how_far_off_it_is(tmp_path: Path) -> None:
    merged = merge_checkpoint(str(BASE), str(ADAPTER), SINGLE, Run(tmp_path / "a", Silent()))
    assert off(logits(tmp_path / "a"), stored("adapter_logits")) < 1e-4
    assert merged.difference < 1e-4
    rounded = merge_checkpoint(str(BASE), str(ADAPTER), VlmSettings(), Run(tmp_path / "b", Silent()))
    found = off(logits(tmp_path / "b"), stored("adapter_logits"))
    assert merged.difference < rounded.difference < rounded.spread
    # Of the same size on other frames and words.
    assert rounded.difference / 3 < found < rounded.difference * 3


def test_the_files_are_those_of_the_base_with_other_weights(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    merge_checkpoint(str(BASE), str(ADAPTER), VlmSettings(), Run(out, Silent()))
    names = {path.name for path in BASE.iterdir()}
    assert {path.name for path in out.iterdir()} == names | {"README.md", "merge.json"}
    for name in names:
        if name.endswith((".json", ".txt")):
            assert (out / name).read_text().split() == (BASE / name).read_text().split(), name
    for path in out.glob("*.safetensors"):
        there, base = load_file(path), load_file(BASE / path.name)
        assert list(there) == list(base)
        assert {tensor.dtype for tensor in there.values()} == {torch.bfloat16}
        # The vision tower stays what it is, to the bit.
        assert all(torch.equal(there[key], base[key]) for key in there if key.startswith("visual"))
    card = (out / "README.md").read_text()
    assert f"base_model: {BASE}" in card
    assert str(ADAPTER) in card
    assert "44 tensors" in card


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_configuration_says_the_precision_that_was_asked_for(dtype: str, tmp_path: Path) -> None:
    merge_checkpoint(str(BASE), str(ADAPTER), VlmSettings(dtype=dtype), Run(tmp_path / "a", Silent()))
    assert json.loads((tmp_path / "a" / "config.json").read_text())["torch_dtype"] == dtype
    weights = [load_file(path) for path in (tmp_path / "a").glob("*.safetensors")]
    assert {str(w.dtype) for found in weights for w in found.values()} == {f"torch.{dtype}"}
    index = json.loads((tmp_path / "a" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(w.nbytes for found in weights for w in found.values())


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"]])
def test_a_head_that_shared_its_weight_gets_one_of_its_own(targets: list[str], tmp_path: Path) -> None:
    base = tied(tmp_path / "base")
    wanted = made_by_peft(tmp_path / "adapter", older=False, base=base, target_modules=["q_proj", *targets])
    merge_checkpoint(str(base), str(tmp_path / "adapter"), SINGLE, Run(tmp_path / "merged", Silent()))
    assert off(logits(tmp_path / "merged"), wanted) < 1e-4


def test_an_adapter_on_top_of_another_one_is_merged_with_it(tmp_path: Path) -> None:
    made_by_peft(tmp_path / "on-top", older=False)
    settings = VlmSettings(dtype="float32", base_adapter=str(ADAPTER))
    merge_checkpoint(str(BASE), str(tmp_path / "on-top"), settings, Run(tmp_path / "merged", Silent()))
    wanted = logits(adapter=tmp_path / "on-top", base_adapter=str(ADAPTER))
    assert off(logits(tmp_path / "merged"), wanted) < 1e-4
    assert str(ADAPTER) in (tmp_path / "merged" / "README.md").read_text()


def test_only_what_was_written_here_is_replaced_and_only_when_asked(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is there already"):
            merge_checkpoint(str(BASE), str(ADAPTER), SINGLE, Run(mine, Silent(), overwrite=overwrite))
    out = tmp_path / "merged"
    merge_checkpoint(str(BASE), str(ADAPTER), SINGLE, Run(out, Silent()))
    with pytest.raises(InputError, match="is there already"):
        merge_checkpoint(str(BASE), str(ADAPTER), SINGLE, Run(out, Silent()))
    merge_checkpoint(str(BASE), str(ADAPTER), VlmSettings(), Run(out, Silent(), overwrite=True))
    assert json.loads((out / "merge.json").read_text())["dtype"] == "bfloat16"


def test_the_command_prints_the_largest_difference_of_the_logits(tmp_path: Path) -> None:
    options = ["merge", "-m", str(BASE), "-a", str(ADAPTER), "--dtype", "float32"]
    told = CliRunner().invoke(app, [*options, "-o", str(tmp_path / "a")])
    assert told.exit_code == 0, told.output
    assert "44 tensors of the adapter merged; logits of a made-up clip differ by" in " ".join(told.stdout.split())
    found = json.loads(CliRunner().invoke(app, [*options, "-o", str(tmp_path / "b"), "--json"]).stdout)
    assert found["difference"] < 1e-4
