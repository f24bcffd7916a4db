"""Values that a command line or a file might contain by mistake, and how many of them a test tries."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

_times = int(os.environ.get("HARNESS_FUZZ", "1"))


def tried(examples: int) -> settings:
    """Try so many examples, times the variable ``HARNESS_FUZZ``. None is shrunk, which takes minutes."""
    ignored = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    return settings(max_examples=examples * _times, deadline=None, phases=phases, suppress_health_check=ignored)


# Without "/" and NUL: an absolute path must not be written to, and no argument contains NUL.
_characters = st.characters(exclude_categories=["Cs"], exclude_characters="/\0")
numbers = st.sampled_from([
    "0", "-1", "1", "2", "1.5", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 25, "9" * 400, "9" * 5000, "0x10", "٣",
    "1_000", "+1", " 1", "1e3", "9" * 400 + "G", "9" * 400 + "h", "3G", "1m", "never",
])  # fmt: skip
words = st.sampled_from([
    "", " ", "-", "--", "--help", "-1", "x" * 5000, "é", "e\u0301", "\u202eabc", "\x1b[2J\x1b[31m", "a\nb", "\r", "\t",
    "[/x]", "[bold]", "[link=x]", "<script>", "..", "../..", ".", "./", "/dev/null", "/dev/null/x", "/proc/version",
    "%s%n", "{0}", "{", "$HOME", "~", "*", "null", "true", "None", ",", "a,,b", ",a", "=", "a=b", "a.b=c", "pca.x=1",
    "pca.latent_dim=", "pca.latent_dim=1e400", "pca.latent_dim=[/x]", "pca.latent_dim=" + "9" * 400,
    "a" * 300 + ".toml",
    "folder:", "folder:.", "folder:/dev/null", "mnist-10k:x", ":", "\udcff", "\udcff.npy", "x.toml", "x.py", "a.svg",
])  # fmt: skip
values = words | numbers | st.text(_characters, max_size=20)

nested: Any = "deep"
for _ in range(200):
    nested = [nested]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([
        "", "../../../x", "vae", "ok", "<script>", "[/x]", "\ud800", "\x1b[2J", "higher", "sideways", "1970",
        "0001-01-01",
        -1, 0, 1, -1.0, 10**400, 2**70, 1e308, -1e300, 1e-320, nested, "test", "float32", {}, [], [None], [1.5, None],
    ]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
