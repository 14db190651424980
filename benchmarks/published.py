"""Speed records that others have published, and how to run their own code.

Nothing of it is copied here: the code comes from where it is published, at the commit named
below, or from a folder with copies. Each script trains in a function that returns when one run is
done; what it would print of that run is what we read.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarlab.errors import InputError, NetworkError

HOST = "https://github.com"
Names = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A published record.

    Attributes:
        repository: owner and name.
        commit: the version that is run.
        script: the file in it.
        start: from the script's names to a function that trains once.
        seconds: what the script calls its time.
    """

    repository: str
    commit: str
    script: str
    start: Callable[[Names], Callable[[Any], object]]
    seconds: str = "time_seconds"


def _one_network(names: Names) -> Callable[[Any], object]:
    import torch

    model = names["CifarNet"]().cuda().to(memory_format=torch.channels_last)
    model.compile(mode="max-autotune")
    return lambda run: names["main"](run, model)


def _with_proxy(names: Names) -> Callable[[Any], object]:
    import torch

    hyper = names["hyp"]
    proxy, trained, frozen = (names["make_net"](hyper[k]) for k in ("proxy", "net", "net"))
    for net in (proxy, frozen):
        net[0].bias.requires_grad = False
    nets = [torch.compile(net, mode="max-autotune") for net in (proxy, trained, frozen)]
    return lambda run: names["main"](run, hyper, *nets)


RECORDS = {
    "airbench94_muon": Record(
        repository="KellerJordan/cifar10-airbench",
        commit="f1c599c4af24aca803e3e65a6a7e52a502e09d0e",
        script="airbench94_muon.py",
        start=_one_network,
    ),
    "airbench96_faster": Record(
        repository="KellerJordan/cifar10-airbench",
        commit="f1c599c4af24aca803e3e65a6a7e52a502e09d0e",
        script="airbench96_faster.py",
        start=_with_proxy,
        seconds="total_time_seconds",
    ),
    "hiverge": Record(
        repository="hiverge/cifar10-speedrun",
        commit="5cd49b1e586f473b535cdeee69fe8ad5b6e9618b",
        script="cifar10_speedrun.py",
        start=_one_network,
    ),
}


def obtain(record: Record, folder: Path) -> Path:
    """Return the record's script in ``folder``, cloned there first if need be.

    Raises:
        InputError: a copy that is there lacks the script.
        NetworkError: it cannot be cloned.
    """
    copy = folder / record.repository.split("/")[1]
    if not copy.exists():
        for command in (
            ["clone", "--quiet", f"{HOST}/{record.repository}", str(copy)],
            ["-C", str(copy), "checkout", "--quiet", record.commit],
        ):
            done = subprocess.run(["git", *command], capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                raise NetworkError(
                    f"git {command[0]} of {record.repository} failed: {last}; get a copy "
                    f"elsewhere and name the folder that holds {copy.name}/ with --published"
                )
    script = copy / record.script
    if not script.is_file():
        raise InputError(f"{copy} has no {record.script}; it is no copy of {record.repository}")
    return script


def names_of(script: Path) -> dict[str, Any]:
    """Run the script's definitions, not its main part; return its names."""
    source = script.read_text()
    if importlib.util.find_spec("torchvision") is None:
        sys.modules.update(_torchvision())
    # It reads its own source from there.
    sys.argv = [str(script)]
    names: dict[str, Any] = {"__name__": "published", "__file__": str(script)}
    exec(compile(source, str(script), "exec"), names)
    return names


def _torchvision() -> dict[str, types.ModuleType]:
    """Return what the scripts use of torchvision, where it is not installed."""

    class Normalize:
        def __init__(self, mean: Any, deviation: Any) -> None:
            self.mean, self.deviation = mean.view(1, -1, 1, 1), deviation.view(1, -1, 1, 1)

        def __call__(self, images: Any) -> Any:
            mean, deviation = (v.to(images) for v in (self.mean, self.deviation))
            return (images - mean) / deviation

    modules = {name: types.ModuleType(name) for name in ("torchvision", "torchvision.transforms")}
    modules["torchvision"].transforms = modules["torchvision.transforms"]  # type: ignore[attr-defined]
    modules["torchvision.transforms"].Normalize = Normalize  # type: ignore[attr-defined]
    return modules
