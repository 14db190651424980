"""Devices and precisions are chosen by name, or by what the machine can do."""

from __future__ import annotations

import pytest
import torch

from cifarlab.errors import UsageError
from cifarlab.runtime.device import (
    DEVICES,
    PRECISIONS,
    choose_device,
    choose_precision,
    computing_in,
    deterministic_kernels,
)
from support import one_line

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


def machine(
    patch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False, cpu: tuple[str, ...] = ()
) -> None:
    """Pretend to be a machine with so many CUDA devices and these CPU capabilities."""
    patch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    patch.setattr(torch.cuda, "device_count", lambda: cuda)
    patch.setattr(torch.backends.mps, "is_available", lambda: mps)
    capabilities = {"avx512_f": True, **dict.fromkeys(cpu, True)}
    patch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(1, True, CUDA), (1, False, CUDA), (0, True, MPS), (0, False, CPU)]
)
def test_auto_chooses_the_fastest_available(
    monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, chosen: torch.device
) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device() == choose_device("auto") == chosen
    assert choose_device("cpu") == CPU


def test_a_device_with_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError) as error:
        choose_device("cuda:2")
    assert "2, numbered from cuda:0" in one_line(error)


UNKNOWN = ("gpu", "", " cpu", "CPU", "meta", ":0", "auto:0", "cpu:1", "mps:")
UNKNOWN_NUMBERS = ("cuda:", "cuda:x", "cuda:-1", "cuda:0:0", "cuda: 0", "cuda:٣")


@pytest.mark.parametrize("name", [*UNKNOWN, *UNKNOWN_NUMBERS])
def test_unknown_names_are_refused_with_those_known(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    machine(monkeypatch, cuda=4, mps=True)
    with pytest.raises(UsageError) as error:
        choose_device(name)
    message = one_line(error)
    assert repr(name) in message
    assert all(known in message for known in DEVICES)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    machine(monkeypatch)
    with pytest.raises(UsageError) as error:
        choose_device(name)
    assert "--device cpu" in one_line(error)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ((), torch.float32),
        (("avx2", "avx512_vnni"), torch.float32),
        (("avx512_bf16",), torch.bfloat16),
        (("amx_bf16",), torch.bfloat16),
    ],
)
def test_auto_on_a_cpu_goes_by_its_capabilities(
    monkeypatch: pytest.MonkeyPatch, capabilities: tuple[str, ...], expected: torch.dtype
) -> None:
    machine(monkeypatch, cpu=capabilities)
    assert choose_precision("auto", CPU) == expected


def test_auto_is_float32_where_pytorch_does_not_report_capabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", CPU) == torch.float32


@pytest.mark.parametrize(
    ("supported", "expected"), [(True, torch.bfloat16), (False, torch.float32)]
)
def test_auto_on_cuda_goes_by_its_support(
    monkeypatch: pytest.MonkeyPatch, supported: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    machine(monkeypatch, cuda=1)
    assert choose_precision("auto", CUDA) == expected


def test_auto_on_mps_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, mps=True, cpu=("avx512_bf16",))
    assert choose_precision("auto", MPS) == torch.float32


@pytest.mark.parametrize("device", [CPU, CUDA, MPS], ids=str)
def test_a_named_precision_is_used_on_every_device(device: torch.device) -> None:
    assert choose_precision("float32", device) == torch.float32
    assert choose_precision("bfloat16", device) == torch.bfloat16


@pytest.mark.parametrize("name", ["fp16", "", "Float32", "float16"])
def test_an_unknown_precision_is_refused_with_those_known(name: str) -> None:
    with pytest.raises(UsageError) as error:
        choose_precision(name, CPU)
    message = one_line(error)
    assert repr(name) in message
    assert all(known in message for known in PRECISIONS)


def test_products_are_computed_in_the_precision_inside_the_block_only() -> None:
    x = torch.ones(2, 2)
    with computing_in(torch.bfloat16, CPU):
        assert (x @ x).dtype == torch.bfloat16
        with computing_in(torch.float32, CPU):
            assert (x @ x).dtype == torch.float32
    with computing_in(torch.float32, CPU):
        assert (x @ x).dtype == torch.float32
    assert (x @ x).dtype == torch.float32


def test_reproducible_kernels_are_asked_for_inside_the_block_only() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic_kernels(True):
        assert torch.are_deterministic_algorithms_enabled()
        with deterministic_kernels(False):
            assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(KeyError), deterministic_kernels(True):
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()
