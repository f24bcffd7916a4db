"""How much energy training takes, as the driver's own counters tell it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from harness import Context, Data, Estimate, NotApplicable, TrainsByGradient, TrainsByObjectives, setting
from harness.toolkit import synchronize
from harness_metrics.speed import steps
from harness_metrics.speed.timing import TimingSettings, competition, enough_calls, least_disturbed, of_repeats

powercap = Path("/sys/class/powercap")


class Energy:
    """Joules per training example, over whole training steps at the batch size of the fit.

    Counted is all that the board (NVIDIA) or the processor packages (Intel and AMD) draw meanwhile, also when idle
    and also for other processes; neither the rest of the machine nor, for a GPU, its host.
    """

    @dataclass(frozen=True)
    class Config(TimingSettings):
        """Settings."""

        seconds: float = setting(0.5, "that a repeat lasts at least: counters move every few tens of ms", above=0)

    unit: ClassVar = "J/example"
    direction: ClassVar = "lower"
    needs: ClassVar = (TrainsByGradient | TrainsByObjectives,)
    times_the_machine: ClassVar = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure the training of a copy of ``model``.

        Raises:
            NotApplicable: the machine has no counter that may be read, or the model was fitted in closed form.
        """
        device = data.train.stored.device
        counter = counter_of(device)
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
            diagnostics={
                **competition([load], self.config.load_limit),
                "source": counter.source,
                "batch_size": own,
            },
        )


class EnergyCounter(Protocol):
    """Something that adds up the energy drawn."""

    source: str

    def joules(self) -> float:
        """Return the energy drawn since some moment that stays the same."""


class NvidiaCounter:
    """The counter of an NVIDIA board, of the Volta generation or later, through pynvml."""

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
                "an NVIDIA board's energy is read through pynvml, which is not installed (pip install nvidia-ml-py)"
            ) from None
        try:
            self._nvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(device).uuid
            self._board = self._nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            self.joules()
        except self._nvml.NVMLError as error:
            raise NotApplicable(f"the NVIDIA driver does not tell the energy of this board: {error}") from None

    def joules(self) -> float:
        """Return the energy drawn since the driver was loaded."""
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._board) / 1000  # type: ignore[no-any-return]


class PackageCounter:
    """The counters of the processor packages (RAPL), which Linux shows below ``/sys/class/powercap``."""

    source = "RAPL counters of the processor packages"

    def __init__(self, root: Path = powercap) -> None:
        """Find the packages.

        Raises:
            NotApplicable: there are none, or this user may not read them.
        """
        self._packages = [zone for zone in sorted(root.glob("*-rapl:*")) if _name_of(zone).startswith("package")]
        if not self._packages:
            raise NotApplicable(f"the processor's energy counters (RAPL) are missing: no package below {root}")
        try:
            self._last = [_microjoules(zone) for zone in self._packages]
        except PermissionError as error:
            raise NotApplicable(f"the processor's energy counters (RAPL) may not be read: {error.filename}") from None
        self._total = 0

    def joules(self) -> float:
        """Return the energy drawn since this object was made; it must be asked before a counter wraps twice."""
        for n, zone in enumerate(self._packages):
            now = _microjoules(zone)
            if now < self._last[n]:
                self._total += int((zone / "max_energy_range_uj").read_text())
            self._total += now - self._last[n]
            self._last[n] = now
        return self._total / 1e6


def counter_of(device: torch.device) -> EnergyCounter:
    """Return the energy counter of a device.

    Raises:
        NotApplicable: there is none that may be read; the message says what is missing.
    """
    return NvidiaCounter(device) if device.type == "cuda" else PackageCounter()


def _name_of(zone: Path) -> str:
    name = zone / "name"
    return name.read_text().strip() if name.exists() else ""


def _microjoules(zone: Path) -> int:
    return int((zone / "energy_uj").read_text())
