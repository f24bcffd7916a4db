"""Energy of training, from hardware counters."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from harness import Context, Data, Estimate, NotApplicable, TrainsByGradient, TrainsByObjectives, setting
from harness.toolkit import synchronize
from harness_metrics.speed import steps
from harness_metrics.speed.timing import TimingSettings, enough_calls, least_disturbed, load_warning, of_repeats

powercap = Path("/sys/class/powercap")


class Energy:
    """Joules per training example, over whole training steps at the batch size of the fit.

    It includes all energy that the GPU board (NVIDIA) or the processor packages (Intel and AMD) use meanwhile, also in
    idle and for other processes. It excludes the rest of the machine and, for a GPU, its host.
    """

    @dataclass(frozen=True)
    class Config(TimingSettings):
        """Settings."""

        seconds: float = setting(
            0.5, "shortest duration of a repeat, in seconds; counters are updated every few tens of ms", above=0
        )

    unit: ClassVar = "J/example"
    direction: ClassVar = "lower"
    needs: ClassVar = (TrainsByGradient | TrainsByObjectives,)
    times_the_machine: ClassVar = True
    depends_on_seed: ClassVar = False

    def __init__(self, config: Config, counter_of: Callable[[torch.device], EnergyCounter] | None = None) -> None:
        self.config = config
        self._counter_of = counter_of or energy_counter

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure the training of a copy of ``model``.

        Raises:
            NotApplicable: no energy counter can be read, or the model was fitted in closed form.
        """
        device = data.train.stored.device
        counter = self._counter_of(device)
        own = steps.own_batch(data, context)
        step = steps.training(model, data, context, own)

        calls = enough_calls(step, device, self.config.seconds)

        def joules_per_example() -> float:
            before = counter.joules()
            for _ in range(calls):
                step()
            synchronize(device)
            return (counter.joules() - before) / (calls * own)

        def repeats() -> tuple[float, ...]:
            return tuple(joules_per_example() for _ in range(self.config.repeats))

        samples, load = least_disturbed(repeats, self.config.load_limit)
        return of_repeats(
            samples,
            device,
            diagnostics={"competing_load": load, "source": counter.source, "batch_size": own},
            warning=load_warning(load, self.config.load_limit),
        )


class EnergyCounter(Protocol):
    """A cumulative energy counter."""

    source: str

    def joules(self) -> float:
        """Return the energy used since a fixed point in time."""


class NvidiaCounter:
    """The counter of an NVIDIA board of the Volta generation or later, read with pynvml."""

    source = "NVIDIA's counter of the board's energy"

    def __init__(self, device: torch.device) -> None:
        """Open the counter.

        Raises:
            NotApplicable: pynvml is not installed, or the board has no counter.
        """
        try:
            self._nvml = importlib.import_module("pynvml")
        except ImportError:
            raise NotApplicable(
                "the energy of an NVIDIA board is read with pynvml, which is not installed (pip install nvidia-ml-py)"
            ) from None
        try:
            self._nvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(device).uuid
            self._board = self._nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            self.joules()
        except self._nvml.NVMLError as error:
            raise NotApplicable(f"the NVIDIA driver does not report the energy of this board: {error}") from None

    def joules(self) -> float:
        """Return the energy used since the driver was loaded."""
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._board) / 1000  # type: ignore[no-any-return]


class PackageCounter:
    """The counters of the processor packages (RAPL), which Linux provides below ``/sys/class/powercap``."""

    source = "RAPL counters of the processor packages"

    def __init__(self, root: Path = powercap) -> None:
        """Find the packages.

        Raises:
            NotApplicable: there are none, or they cannot be read.
        """
        self._packages = [zone for zone in sorted(root.glob("*-rapl:*")) if _name_of(zone).startswith("package")]
        if not self._packages:
            raise NotApplicable(f"there are no energy counters of the processor (RAPL) below {root}")
        try:
            self._last = [_microjoules(zone) for zone in self._packages]
        except OSError as error:
            raise NotApplicable(
                f"the energy counters of the processor (RAPL) cannot be read: {error.strerror}: {error.filename}"
            ) from None
        self._total = 0

    def joules(self) -> float:
        """Return the energy used since this object was created; call it before a counter wraps around twice."""
        for n, zone in enumerate(self._packages):
            now = _microjoules(zone)
            if now < self._last[n]:
                self._total += int((zone / "max_energy_range_uj").read_text())
            self._total += now - self._last[n]
            self._last[n] = now
        return self._total / 1e6


def energy_counter(device: torch.device) -> EnergyCounter:
    """Return the energy counter of a device.

    Raises:
        NotApplicable: no counter can be read; the message says why.
    """
    return NvidiaCounter(device) if device.type == "cuda" else PackageCounter()


def _name_of(zone: Path) -> str:
    name = zone / "name"
    return name.read_text().strip() if name.exists() else ""


def _microjoules(zone: Path) -> int:
    return int((zone / "energy_uj").read_text())
