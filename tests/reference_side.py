"""What the stack of the released checkpoint makes of checkpoints and of videos.

Runs in the environment that `make reference` installs, which knows neither mdsvqa nor pytest; what is asked comes as
JSON, answers go to files.

    .reference/bin/python tests/reference_side.py make FOLDER     # checkpoints, adapters, and the logits of batches
    .reference/bin/python tests/reference_side.py watch FOLDER    # what FOLDER/asked.json says, into answers.json
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from qwen_vl_utils import process_vision_info
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoProcessor, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

BASE = Path(__file__).parent / "reference_stack" / "base"
# Of the tiny checkpoint.
PADDING, START, END, IMAGE, VIDEO = 512, 514, 515, 516, 517
_WORDS = 300
SMALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# What is changed in the tiny configuration; `vision` in that of the tower.
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tied": {"tie_word_embeddings": True},
    "windows": {"vision": {"tokens_per_second": 4, "window_size": 56, "depth": 4, "fullatt_block_indexes": [1, 3]}},
    "deeper": {"num_key_value_heads": 1, "num_hidden_layers": 5, "rope_theta": 10_000.0},
}
ADAPTERS: dict[str, dict[str, Any]] = {
    # As the authors' trainer: every linear layer outside the tower, the head too.
    "authors": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.05},
    "plain": {"r": 4, "target_modules": [*SMALL]},
    "all-linear": {"r": 4, "target_modules": "all-linear"},
    "dora": {"r": 4, "target_modules": ["q_proj", "up_proj"], "use_dora": True},
    "rslora": {"r": 4, "target_modules": ["q_proj", "up_proj"], "use_rslora": True, "lora_alpha": 3},
    "patterns": {
        "target_modules": ["q_proj", "up_proj", "lm_head"],
        "rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 3},
        "alpha_pattern": {"up_proj": 5},
    },
    "saved head": {"r": 4, "target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
    "embedding": {"r": 4, "target_modules": ["embed_tokens", "q_proj"]},
    "some layers": {"r": 4, "target_modules": ["q_proj"], "layers_to_transform": [0, 2], "layers_pattern": "layers"},
    # Not to be computed from the file alone.
    "pissa": {"r": 4, "target_modules": ["q_proj"], "init_lora_weights": "pissa"},
    "bias": {"r": 4, "target_modules": ["q_proj"], "bias": "lora_only"},
    "convolution": {"r": 4, "target_modules": r".*visual.*(qkv|patch_embed.proj)"},
}
# Steps, rows and columns of patches of each video, and the seconds of a step; a list for each row of a batch.
BATCHES = {
    "long": [[(30, 4, 4, 1.0)], [(3, 12, 4, 1.0)]],
    "other rates": [[(12, 4, 4, 0.4997)], [(9, 4, 6, 1.3333)], [(11, 6, 4, 0.25)]],
    "two videos": [[(4, 4, 4, 1.0), (8, 4, 6, 0.5)], [(20, 4, 4, 2.0)]],
}


def make_checkpoint(folder: Path, vision: dict[str, Any] | None = None, **changes: Any) -> None:
    """A checkpoint of random weights, as 4.49 writes it."""
    config = json.loads((BASE / "config.json").read_text())
    config |= changes
    config["vision_config"] |= vision or {}
    torch.manual_seed(1)
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**config)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder, max_shard_size="400KB")
    for path in BASE.iterdir():
        if path.suffix != ".safetensors" and not (folder / path.name).exists():
            shutil.copy(path, folder)


def make_adapter(base: Path, folder: Path, **settings: Any) -> None:
    """An adapter as PEFT 0.17 writes it."""
    model = load(base, None)
    outside = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "visual" not in n]
    settings.setdefault("target_modules", outside)
    torch.manual_seed(7)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight) + 0.2 * ("magnitude" in name))
    adapted.save_pretrained(folder)


def load(base: Path, adapter: Path | None) -> Any:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(base, torch_dtype=torch.float32)
    return (model if adapter is None else PeftModel.from_pretrained(model, adapter)).eval()


def make_batch(rows: list[list[tuple[int, int, int, float]]]) -> dict[str, Tensor]:
    """A left-padded batch of random words and patches."""
    made = torch.Generator().manual_seed(len(rows))
    texts, grids, seconds = [], [], []
    for row in rows:
        text = torch.randint(3, _WORDS, (5,), generator=made).tolist()
        for steps, height, width, lasts in row:
            text += [START, *[VIDEO] * (steps * height * width // 4), END]
            text += torch.randint(3, _WORDS, (7,), generator=made).tolist()
            grids.append([steps, height, width])
            seconds.append(lasts)
        texts.append(text)
    longest = max(map(len, texts))
    ids = torch.tensor([[PADDING] * (longest - len(text)) + text for text in texts])
    mask = torch.tensor([[0] * (longest - len(text)) + [1] * len(text) for text in texts])
    patches = sum(steps * height * width for steps, height, width in grids)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values_videos": torch.randn(patches, 3 * 2 * 14 * 14, generator=made),
        "video_grid_thw": torch.tensor(grids),
        "second_per_grid_ts": torch.tensor(seconds),
    }


@torch.no_grad()
def make(folder: Path) -> None:
    """Checkpoints, in each a folder an adapter, `BATCH.safetensors`, and `ADAPTER BATCH` in logits.safetensors."""
    for name, changes in CHECKPOINTS.items():
        place = folder / name
        make_checkpoint(place / "base", **changes)
        batches = {batch: make_batch(rows) for batch, rows in BATCHES.items()}
        adapters = {"base": None, **{each: place / each for each in ADAPTERS if name == "plain" or each == "authors"}}
        logits = {}
        for each, adapter in adapters.items():
            if adapter is not None:
                make_adapter(place / "base", adapter, **ADAPTERS[each])
            model = load(place / "base", adapter)
            logits |= {f"{each}/{batch}": model(**given).logits.contiguous() for batch, given in batches.items()}
        save_file(logits, place / "logits.safetensors")
        for batch, given in batches.items():
            save_file(given, place / f"{batch}.safetensors")


class Watcher:
    """The authors' inference on single videos.

    Args:
        base, adapter: folders.
        pixels: of a frame, at the most and at the least.
    """

    def __init__(self, base: Path, adapter: Path | None, pixels: int) -> None:
        self.model, self.pixels = load(base, adapter), pixels
        self.processor = AutoProcessor.from_pretrained(base)
        self.tokenizer = self.processor.tokenizer
        self.digits = [self._token(digit) for digit in "0123456789"]

    def _token(self, text: str) -> int:
        (token,) = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return int(token)

    def asked(self, video: str, question: str) -> tuple[Tensor, dict[str, Any]]:
        """The frames of a video, and the arguments of a pass over a question about it."""
        shown = {"type": "video", "video": video, "min_pixels": self.pixels, "max_pixels": self.pixels}
        messages = [{"role": "user", "content": [shown, {"type": "text", "text": question}]}]
        text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        _, videos = process_vision_info(messages)
        return videos[0], dict(self.processor(text=[text], videos=videos, padding=True, return_tensors="pt"))

    def behind(self, given: dict[str, Any], tokens: list[int]) -> Tensor:
        """Probabilities of the token behind a question and the beginning of a reply."""
        ids = torch.cat([given["input_ids"], torch.tensor([tokens], dtype=torch.long)], 1)
        row: Tensor = self.model(**{**given, "input_ids": ids, "attention_mask": torch.ones_like(ids)}).logits[0, -1]
        return row.double().softmax(-1)

    def expected(self, given: dict[str, Any]) -> float:
        """The mean of all answers by their probabilities, each beginning of one in a pass of its own."""
        opening = self.tokenizer("<answer>", add_special_tokens=False)["input_ids"]
        point = self._token(".")
        leading = self.behind(given, opening)[self.digits[1:6]]
        value = 0.0
        for first, share in zip(range(1, 6), (leading / leading.sum()).tolist(), strict=True):
            begun, decimals = [*opening, self.digits[first]], 0.0
            if first < 5:
                tenths = self.behind(given, [*begun, point])[self.digits]
                for tenth, odds in enumerate((tenths / tenths.sum()).tolist()):
                    hundredths = self.behind(given, [*begun, point, self.digits[tenth]])[self.digits]
                    decimals += odds * (tenth / 10 + float((hundredths * torch.arange(10)).sum()) / 100)
                decimals *= float(self.behind(given, begun)[point])
            value += share * (first + decimals)
        return value

    def answer(self, video: str, thinking: str, only: str) -> tuple[dict[str, Any], np.ndarray]:
        """What it makes of a video, and the frames."""
        frames, given = self.asked(video, thinking)
        # Greedy, and without marks of pictures, which only random weights would write; all else as the checkpoint says.
        how = {"do_sample": False, "temperature": None, "suppress_tokens": [START, END, IMAGE, VIDEO]}
        written = self.model.generate(**given, **how, max_new_tokens=32)
        ids = given["input_ids"]
        return {
            "tokens": ids[0].tolist(),
            "seconds": [float(each) for each in given["second_per_grid_ts"]],
            "first": self.behind(given, []).log().tolist(),
            "reply": self.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True),
            "expected": self.expected(self.asked(video, only)[1]),
        }, frames.to(torch.uint8).numpy()


@torch.no_grad()
def watch(folder: Path) -> None:
    """Frames to `N.npy`, the rest to answers.json."""
    asked = json.loads((folder / "asked.json").read_text())
    watcher = Watcher(Path(asked["base"]), Path(asked["adapter"]), asked["pixels"])
    answers = []
    for number, video in enumerate(asked["videos"]):
        answer, frames = watcher.answer(video, asked["thinking"], asked["only"])
        np.save(folder / f"{number}.npy", frames)
        answers.append(answer)
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"
    torch.set_num_threads(1)
    {"make": make, "watch": watch}[sys.argv[1]](Path(sys.argv[2]))
