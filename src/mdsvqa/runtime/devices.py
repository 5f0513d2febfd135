"""Which device PyTorch computes on."""

import torch


def torch_device(wanted: str) -> torch.device:
    """A device by name; "auto" is the first GPU, else the CPU.

    >>> torch_device("cpu")
    device(type='cpu')

    Raises:
        RuntimeError: there is no such device.
    """
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted)
