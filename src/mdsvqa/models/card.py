"""The model card that lies beside an adapter, in the form of the Hugging Face Hub."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import yaml

from mdsvqa.models.settings import LoraSettings
from mdsvqa.runtime.atomic import write_atomically

CARD = "README.md"
CITATION = """\
@article{zou2026mds,
  title={MDS-VQA: Model-Informed Data Selection for Video Quality Assessment},
  author={Zou, Jian and Xu, Xiaoyu and Wang, Zhihua and Wang, Yilin and Adsumilli, Balu and Ma, Kede},
  journal={arXiv preprint arXiv:2603.11525},
  year={2026}
}"""


def write_card(
    folder: Path,
    *,
    base: str,
    family: str,
    lora: LoraSettings,
    title: str,
    purpose: str,
    prompt: str,
    output: str,
    details: Mapping[str, str],
    results: Sequence[str],
    usage: str,
) -> None:
    """Writes README.md into an adapter's folder.

    Args:
        folder: of the adapter.
        base: name of the model that it belongs on.
        family: of that model.
        lora: its shape.
        title, purpose: what it is, and what it is for and not for.
        prompt: that it answers.
        output: what the answer means.
        details: more lines of the list at the top, by name.
        results: lines that say how good it is.
        usage: commands and code.
    """
    header = {
        "base_model": base,
        "library_name": "peft",
        "pipeline_tag": "video-text-to-text",
        "tags": ["video-quality-assessment", "lora", "mdsvqa"],
    }
    listed = {
        "Model type": "no-reference video quality assessment vision-language model",
        "Checkpoint type": "PEFT / LoRA adapter",
        "Backbone family": family,
        "Base model": f"`{base}`",
        "LoRA rank": str(lora.rank),
        "LoRA alpha": str(lora.alpha),
        "LoRA dropout": str(lora.dropout),
        **details,
        "Input": "a video plus the prompt below",
        "Output": output,
        "Made with": ", ".join(f"{name} {version(name)}" for name in ("mdsvqa", "torch", "transformers", "peft")),
    }
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# {title}",
        "\n".join(f"- {name}: {value}" for name, value in listed.items()),
        f"## Intended use\n{purpose}",
        f"## Prompt\n```text\n{prompt}\n```",
        "## Results\n" + "\n".join(f"- {line}" for line in results),
        f"## How to use it\n{usage}",
        f"## Citation\nThe method is that of MDS-VQA:\n```bibtex\n{CITATION}\n```",
    ]
    write_atomically(folder / CARD, ("\n\n".join(parts) + "\n").encode())
