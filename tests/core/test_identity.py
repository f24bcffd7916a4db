"""A cell's identity is everything that can change its value, and nothing else."""

from harness.contracts.engine import Engine
from harness.planning.budget import Budget
from harness.planning.identity import hash_of
from harness.planning.plan import Plan, Request, build_plan
from harness.registry import Registry


def plan_of(
    *models: str,
    metrics: tuple[str, ...] = ("reconstruction-mse",),
    datasets: tuple[str, ...] = ("mnist-10k",),
    seeds: int = 1,
    epochs: int = 20,
    threads: int = 1,
    machine: str = "this one",
    **latent_dims: str,
) -> Plan:
    settings = {(model.replace("_", "-"), "latent_dim"): [value] for model, value in latent_dims.items()}
    request = Request(models, metrics, datasets, seeds, Budget(epochs=epochs, batch_size=128), settings)
    return build_plan(request, Registry.load(), Engine("cpu", threads), machine)


def keys(plan: Plan) -> dict[tuple[str, str, str, int], str]:
    return {(c.fit.dataset.name, c.fit.model.name, c.metric.name, c.fit.seed): c.key for c in plan.cells}


def test_a_key_is_the_hash_of_the_identity() -> None:
    metrics = ("elbo", "reconstruction-mse", "training-throughput")
    plan = plan_of("pca", "vae", "linear-ae", metrics=metrics, seeds=2, vae="3")
    assert any(cell.machine for cell in plan.cells)
    assert {fit.budget for fit in plan.fits} > {None}
    assert [cell.key for cell in plan.cells] == [hash_of(cell.identity) for cell in plan.cells]
    assert [fit.key for fit in plan.fits] == [hash_of(fit.identity) for fit in plan.fits]


def test_other_cells_of_a_run_do_not_change_a_key() -> None:
    alone = keys(plan_of("linear-ae"))
    assert len(alone) == 1
    for company in (
        plan_of("vae", "linear-ae", "pca"),
        plan_of("linear-ae", metrics=("elbo", "reconstruction-mse", "training-throughput")),
        plan_of("linear-ae", datasets=("binarized-mnist-10k", "mnist-10k")),
        plan_of("linear-ae", seeds=3),
        plan_of("linear-ae", machine="another"),
        plan_of("linear-ae", "vae", vae="3"),
    ):
        together = keys(company)
        assert alone.items() <= together.items()
        assert len(set(together.values())) == len(together)


def test_everything_that_can_change_a_value_changes_the_key() -> None:
    changed = [
        plan_of("linear-ae"),
        plan_of("linear-ae", linear_ae="3"),
        plan_of("linear-ae", epochs=21),
        plan_of("linear-ae", threads=2),
        plan_of("linear-ae", datasets=("dequantized-mnist-10k",)),
    ]
    assert len({key for plan in changed for key in keys(plan).values()}) == len(changed)


def test_the_machine_is_part_of_the_key_of_a_timing_but_not_of_a_fit() -> None:
    timing = ("training-throughput",)
    here, there = (plan_of("linear-ae", metrics=timing, machine=name) for name in ("this one", "another"))
    assert set(keys(here).values()).isdisjoint(keys(there).values())
    assert [fit.key for fit in here.fits] == [fit.key for fit in there.fits]


def test_a_closed_form_fit_has_no_epochs_and_an_explicit_default_changes_no_key() -> None:
    assert keys(plan_of("pca")) == keys(plan_of("pca", epochs=3)) == keys(plan_of("pca", pca="20"))


def test_step_modes_do_not_change_the_key_of_a_fit_without_steps() -> None:
    engines = [Engine(), Engine(precision="bf16-products"), Engine(path="vectorized"), Engine(step_mode="compiled")]
    for model, different in (("pca", 1), ("linear-ae", 4)):
        request = Request((model,), ("reconstruction-mse",), ("mnist-10k",))
        plans = [build_plan(request, Registry.load(), engine, "this one") for engine in engines]
        assert len({cell.key for plan in plans for cell in plan.cells}) == different
