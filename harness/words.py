"""Numbers in sentences."""


def counted(number: int, thing: str) -> str:
    """Return a number with what it counts: "1 fit", "1,200 fits", "0 processes"."""
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"
