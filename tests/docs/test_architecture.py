"""The architecture page keeps up with the code."""

from pathlib import Path

from harness import hookspecs
from harness.contracts.models import all_capabilities, methods

root = Path(__file__).parents[2]
page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_hook_is_explained() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("harness_")]
    assert len(hooks) >= 8
    assert [name for name in hooks if f"`{name}(" not in page] == []


def test_every_method_that_a_model_may_offer_is_explained() -> None:
    offered = {name for capability in all_capabilities for name in methods(capability)}
    assert {name for name in offered if f"{name}(" not in page} == set()


def test_every_module_of_the_core_has_its_room() -> None:
    modules = {path.stem for path in (root / "harness").glob("*.py")} - {"__main__", "__init__", "errors"}
    rooms = page.split("## Rooms")[1].split("## Contracts")[0]
    assert {name for name in modules if f"{name}.py" not in rooms} == set()
