"""The trainer of one model, and its losses on a split that it is not trained on."""

from __future__ import annotations

import torch
from torch import nn

from harness.contracts.engine import Precision
from harness.contracts.objectives import Objective
from harness.data.dataset import Split
from harness.machine.fast_linear import fast_linear
from harness.noise import Noise, derive_seed
from harness.training.loop import TrainingLoop, batch_sizes
from harness.training.pure_losses import Losses, PureLoss, ReplayedNoise, draws_of
from harness.training.steps import TrainingStep


<<<<<<< HEAD
class Trainer(TrainingLoop):
    """Trains a model by gradient, step by step.
=======
class SteppingLoop(ABC):
    """Shows batches of a split to one model, or to several at once, and keeps their mean losses.

    Args:
        objectives: what each step minimises, in order.
        train: the training split, on the device.
        batch_size: examples a step, of each model.
        precision: of the steps.

    ``execution`` is how steps are taken, and ``fallback`` why they are not taken as they should be.
    """

    def __init__(self, objectives: list[Objective], train: Split, batch_size: int, precision: Precision) -> None:
        self.objectives = objectives
        self.train = train
        self.batch_size = batch_size
        self.precision = precision
        self.device = train.stored.device
        self.execution: StepMode = "eager"
        self.fallback: str | None = None
        self._optimizers: list[Adam] = []
        self._captured: CapturedSteps | None = None
        self._progress = 0.0

    def execute(
        self,
        execution: StepMode,
        announce: Callable[[str], None] = lambda line: None,
        record: GraphRecorder = cuda_graph,
    ) -> None:
        """Have the steps of full batches taken so from now on, or else eagerly, which is announced.

        Captured steps are to be asked for before the first step; ``record`` is what records them.
        """
        self.execution, self._announce = execution, announce
        if execution == "compiled":
            try:
                self._compile()
            except Unsuited as error:
                self._fall_back(error)
        elif execution == "captured":
            self._prepare_optimizers(capturable=self.device.type == "cuda")
            self._captured = CapturedSteps(self, self.sizes[0], self._fall_back, record)

    @property
    def is_settled(self) -> bool:
        """Whether the steps to come are taken as they will be from then on: captured, or for good eagerly."""
        return self._captured is None or self._captured.is_recorded

    def finish(self) -> None:
        """Let go of what was compiled or recorded, and with it of memory; to be called after the last step."""
        if not self.is_settled:
            self.execution, self.fallback = "eager", "there were too few full batches for it to be captured"
        if self._captured is not None:
            self._captured.release()
        self._captured = None
        self._forget_compiled()

    def _fall_back(self, reason: Unsuited) -> None:
        self._announce(f"steps are taken eagerly, since they cannot be {self.execution}: {reason}")
        self._take_eagerly(f"it cannot be {self.execution}: {reason}")

    def _take_eagerly(self, fallback: str) -> None:
        self.execution, self.fallback, self._captured = "eager", fallback, None
        self._forget_compiled()
        for objective, optimizer in zip(self.objectives, self._optimizers, strict=True):
            for group in optimizer.param_groups:
                group.update(lr=objective.optimizer.rate(self._progress), capturable=False)

    def step(self, index: Tensor, progress: float = 0.0) -> Tensor:
        """Take one step on the examples at ``index`` ``(..., B)`` when a share ``progress`` of the budget is spent.

        Returns:
            The losses, ``(..., objectives)``.
        """
        self._progress = progress
        for objective, optimizer in zip(self.objectives, self._optimizers, strict=True):
            objective.optimizer.follow_schedule(optimizer, progress)
        return self._captured(index) if self._captured else self.take(index)

    @abstractmethod
    def take(self, index: Tensor) -> Tensor:
        """Take one step on the examples at ``index`` with the learning rates as they are; see ``step``."""

    @abstractmethod
    def synchronize(self) -> list[nn.Module]:
        """Bring the model of each seed to where training is, and return the models."""

    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """Return all tensors that steps change, the same ones from the first step on."""

    @abstractmethod
    def networks(self) -> nn.Module:
        """Return all modules that take part in a step, as one."""

    @abstractmethod
    def streams(self) -> list[Noise]:
        """Return the streams on the device that steps draw from."""

    @abstractmethod
    def _compile(self) -> None:
        """Have the losses of full batches fused from now on.

        Raises:
            Unsuited: that cannot be done, and nothing has changed.
        """

    @abstractmethod
    def _forget_compiled(self) -> None:
        """Have the losses computed as they were before they were compiled, if they were."""

    @abstractmethod
    def _moved(self, which: int) -> list[Tensor]:
        """Return the parameters, of all models, that an objective moves."""

    def _prepare_optimizers(self, capturable: bool = False) -> None:
        self._optimizers = [
            each.optimizer.optimizer(self._moved(which), capturable) for which, each in enumerate(self.objectives)
        ]

    def _optimizer_tensors(self) -> list[Tensor]:
        states = (state for optimizer in self._optimizers for state in optimizer.state.values())
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    def _state(self, models: list[nn.Module], streams: list[Noise]) -> dict[str, Any]:
        return {
            "models": [tensors_of(model) for model in models],
            "counters": [counters_of(each) for each in (self.networks(), *models)],
            "optimizers": [each.state_dict() for each in self._optimizers],
            "noise": [each.state for each in streams],
            "fallback": self.fallback,
        }

    def _restore(self, state: dict[str, Any], streams: list[Noise]) -> None:
        """Bring back streams, optimisers, what models count in Python, and whether steps had turned out to be eager."""
        assert self._captured is None or not self._captured.is_recorded
        if state["fallback"] is not None:
            self._take_eagerly(state["fallback"])
        for model, counters in zip((self.networks(), *self.synchronize()), state["counters"], strict=True):
            restore_counters(model, counters)
        for noise, its_state in zip(streams, state["noise"], strict=True):
            noise.restore(its_state)
        for optimizer, its_optimizer in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_optimizer)
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"] = group["lr"].to(self.device)

    @abstractmethod
    def shuffled(self) -> Iterator[Tensor]:
        """Yield the index of each batch of one epoch, in a new order."""

    @property
    def sizes(self) -> list[int]:
        """The sizes of the batches that show every training example once.

        The last batch is shorter where need be; a single example left over joins the batch before it, since batch
        statistics of one example do not exist.
        """
        n, size = len(self.train), self.batch_size
        sizes = [min(size, n - start) for start in range(0, n, size)]
        if size > 1 and len(sizes) > 1 and sizes[-1] == 1:
            sizes[-2:] = [size + 1]
        return sizes

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Take steps within the block in the precision of the fit, by the quickest products there are."""
        with computing_in(self.precision), fast_linear(self.device):
            yield

    def epoch(self, pace: BudgetProgress | None = None) -> list[dict[str, float]]:
        """Show every training example once and return each objective's mean loss, one entry a model.

        Where there is a ``pace``, learning rates follow it, and the epoch ends early when the budget does.
        """
        total, seen = torch.zeros((), device=self.device), 0
        with self.computing():
            for index in self.shuffled():
                size = index.shape[-1]
                total = total + self.step(index, pace.progress if pace else 0.0) * size
                seen += size
                if pace is not None:
                    pace.steps += 1
                    if pace.is_over:
                        break
        names = [each.name for each in self.objectives]
        means = (total / seen).view(-1, len(names)).tolist()
        return [dict(zip(names, its_means, strict=True)) for its_means in means]


class Trainer(SteppingLoop):
    """Takes the steps of a gradient fit.
>>>>>>> h4

    Batch order, data noise and model noise are separate streams of the seed, so two models of one seed see the
    same images, binarised alike, in the same order.

    Args:
        model: on the device of the data.
        objectives: of the model, minimised in order in each step.
        train: the training split.
        batch_size: examples a step.
        seed: of the streams.
        precision: of losses and gradients.
        use_onednn: whether linear layers use oneDNN on the CPU; by default, if it is faster there.
    """

    def __init__(
        self,
        model: nn.Module,
        objectives: list[Objective],
        train: Split,
        batch_size: int,
        seed: int,
        precision: Precision = "float32",
        *,
        use_onednn: bool | None = None,
    ) -> None:
        self.model = model
        device = train.stored.device
        losses = Losses(model, objectives)
        order = Noise(derive_seed("batches", seed))
        step = TrainingStep(
            objectives=objectives,
            parameters=[list(each.parameters) for each in objectives],
            frozen=[_others(model, each) for each in objectives],
            network=model,
            tensors=lambda: [*model.parameters(), *model.buffers()],
            batch=train.batch,
            loss=losses,
            pure_loss=lambda which, x: _pure_loss(losses, which, x),
            data_noise=Noise(derive_seed("data", seed), device),
            noise=Noise(derive_seed("noise", seed), device),
            example=torch.arange(batch_sizes(len(train), batch_size)[0], device=device),
            precision=precision,
        )
        super().__init__(step, train, batch_size, order, lambda: [model], use_onednn)


def _pure_loss(losses: Losses, which: int, x: torch.Tensor) -> PureLoss:
    draws, loss = draws_of(losses, which, x), losses.objectives[which].loss
    return PureLoss(draws, lambda x, numbers: loss(x, ReplayedNoise(draws, numbers)))


def _others(model: nn.Module, objective: Objective) -> list[nn.Parameter]:
    """Return the parameters that an objective does not update."""
    updated = set(objective.parameters)
    return [each for each in model.parameters() if each.requires_grad and each not in updated]


@torch.no_grad()
def mean_losses(
    model: nn.Module, objectives: list[Objective], split: Split, batch_size: int, seed: int
) -> dict[str, float]:
    """Return the mean loss of each of a model's objectives over a split, with the same noise at every call."""
    device = split.stored.device
    noise = Noise(derive_seed("noise", "validation", seed), device)
    total = torch.zeros(len(objectives), device=device)
    with fast_linear(model, device):
        for x in split.batches(batch_size, noise):
            total += torch.stack([each.loss(x, noise) for each in objectives]) * len(x)
    means = (total / len(split)).tolist()
    return {each.name: mean for each, mean in zip(objectives, means, strict=True)}
