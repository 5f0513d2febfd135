"""The classes of transformers that see, importable beside a CPU build of PyTorch. Import them from here only.

torchvision's wheels are built for CUDA. Beside a CPU torch their operators do not load, and the import fails because
`nms` and `qnms` are then unknown. Declaring the two is enough for the transforms that the Qwen processors use; calling
them would still fail, and nothing here does.
"""

import warnings

import torch

_SCHEMA = "{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _declare() -> "torch.library.Library | None":
    try:
        import torchvision  # noqa: F401, PLC0415
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(_SCHEMA.format(operator))
        return library
    return None


# The declarations last as long as this object.
_LIBRARY = _declare()

from transformers import (  # noqa: E402
    AutoProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX  # noqa: E402
from transformers.utils import logging  # noqa: E402

# By these names since 5.20 and before; peft still asks by the old ones.
warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing", FutureWarning)
# It draws one for every file, beside ours.
logging.disable_progress_bar()

__all__ = [
    "PRETOKENIZE_REGEX",
    "AutoProcessor",
    "Qwen2Tokenizer",
    "Qwen2VLImageProcessor",
    "Qwen2VLVideoProcessor",
    "Qwen2_5_VLConfig",
    "Qwen2_5_VLForConditionalGeneration",
    "Qwen2_5_VLProcessor",
]
