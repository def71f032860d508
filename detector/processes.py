"""The processes of one training: one by itself, or those that torchrun started."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator
from typing import Any

import torch

from obverse.detector.config import TrainConfig
from obverse.errors import ConfigError

__all__ = ["Processes", "first_process", "joined"]


@dataclasses.dataclass(frozen=True, slots=True)
class Processes:
    """Which of how many this is."""

    rank: int
    count: int
    device: torch.device

    def share(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the first process's value in all of them."""
        if self.count == 1:
            return value
        held: list[Any] = [value]
        torch.distributed.broadcast_object_list(held, src=0)
        shared: dict[str, Any] = held[0]
        return shared

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.count > 1:
            torch.distributed.barrier()


def first_process() -> bool:
    """Whether this is the process that writes."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def joined(config: TrainConfig) -> Iterator[Processes]:
    """Join torchrun's processes, if there are any.

    Raises:
        ConfigError: the pairs cannot be shared out.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if "RANK" not in os.environ or count == 1:
        yield Processes(0, 1, config.torch_device())
        return
    if config.pairs % count:
        raise ConfigError(
            f"training's pairs are {config.pairs}; they must be a multiple of the {count} "
            "processes."
        )
    device = config.torch_device(int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The first process cuts every clip before the others have anything to do.
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", timeout=datetime.timedelta(days=2)
    )
    try:
        yield Processes(int(os.environ["RANK"]), count, device)
    finally:
        torch.distributed.destroy_process_group()
