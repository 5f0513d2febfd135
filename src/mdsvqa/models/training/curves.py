"""The figures of a training as curves for TensorBoard."""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path


def draw_curves(folder: Path, log: Sequence[Mapping[str, float]]) -> None:
    """Writes all evaluations anew, so that a resumed training has one curve; nothing where TensorBoard is missing.

    Args:
        folder: for `tensorboard --logdir`.
        log: figures of each evaluation, with "step".
    """
    if find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        for line in log:
            for name, value in line.items():
                if name != "step" and not math.isnan(value):
                    writer.add_scalar(name, value, int(line["step"]))
