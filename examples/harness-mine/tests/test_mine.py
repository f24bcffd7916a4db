"""The checks of harness: the contract, the behaviour and the mathematics of mine."""

from harness.conformance import BoundCheck, parametrize


@parametrize("mine")
def test_it_passes(check: BoundCheck) -> None:
    check()
