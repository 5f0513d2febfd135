"""transformers with its classes that see, importable beside a CPU build of PyTorch. Import it from here only.

torchvision's wheels are built for CUDA. Beside a CPU torch their operators do not load, and the import fails because
`nms` and `qnms` are then unknown. Declaring the two is enough for the transforms that the processors here use; calling
them would still fail, and nothing here does.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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

import transformers  # noqa: E402
from transformers import (  # noqa: E402
    AutoConfig,
    AutoImageProcessor,
    AutoProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Model,
    Dinov2WithRegistersModel,
    Siglip2VisionModel,
    SiglipVisionModel,
)
from transformers.image_processing_backends import TorchvisionBackend  # noqa: E402
from transformers.integrations.sdpa_attention import sdpa_attention_forward  # noqa: E402
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask  # noqa: E402
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS  # noqa: E402
from transformers.utils import logging  # noqa: E402

# By these names since 5.20 and before; peft still asks by the old ones.
warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing", FutureWarning)
# It draws one for every file, beside ours.
logging.disable_progress_bar()


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of transformers as long as the block runs: for what is checked here and not by a reader."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


__all__ = [
    "ALL_ATTENTION_FUNCTIONS",
    "ALL_MASK_ATTENTION_FUNCTIONS",
    "AutoConfig",
    "AutoImageProcessor",
    "AutoProcessor",
    "CLIPImageProcessor",
    "CLIPVisionConfig",
    "CLIPVisionModelWithProjection",
    "Dinov2Model",
    "Dinov2WithRegistersModel",
    "Siglip2VisionModel",
    "SiglipVisionModel",
    "TorchvisionBackend",
    "quiet",
    "sdpa_attention_forward",
    "sdpa_mask",
    "transformers",
]
