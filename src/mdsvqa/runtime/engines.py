"""Where work is done: in processes of this machine, or by the workers of a Ray cluster."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.settings import Settings

EngineName = Literal["local", "ray"]


class EngineSettings(Settings):
    """Where work is done; changes the time, not the results."""

    name: EngineName = Field(
        "local",
        description="Work by this engine: local (processes of this machine) or ray (a Ray cluster; where there is "
        "none, one is started here, with all GPUs of this machine).",
    )
    address: str = Field(
        "auto",
        description="Use the Ray cluster at this address; auto is that of RAY_ADDRESS, else the one that this machine "
        "is part of.",
    )
    gpus_per_worker: float = Field(
        1.0,
        ge=0,
        description="Give each worker that holds a model so many GPUs; 0.5 lets two share one, 0 works on CPUs.",
    )
    cpus_per_worker: int = Field(
        4, ge=1, description="Give each worker that holds a model so many cores, on which it decodes ahead."
    )
    most: int | None = Field(
        None, ge=1, description="Use at most so many workers; by default all that there is room for."
    )
    packages: tuple[str, ...] = Field(
        (), description="Install these packages for the workers first, as pip names them, where their nodes lack them."
    )

    @model_validator(mode="before")
    @classmethod
    def _by_name_alone(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _shares_are_of_one_gpu(self) -> Self:
        if self.gpus_per_worker > 1 and self.gpus_per_worker != int(self.gpus_per_worker):
            raise ValueError(
                f"`gpus_per_worker` is {self.gpus_per_worker:g}; expected a share of one GPU, or whole ones."
            )
        return self

    def gpus_for(self, device: str) -> float:
        """GPUs of a worker whose model goes to a device.

        Raises:
            InputError: the device is one of several, which a worker cannot choose.
        """
        if self.name == "ray" and ":" in device:
            raise InputError(
                f"device {device}: with --engine ray each worker is given its GPUs; expected auto, cuda or cpu."
            )
        return 0.0 if device == "cpu" else self.gpus_per_worker
