"""What the server of worker processes imports once for all of them, after all else that it imports."""

import gc

import harness.execution.workers  # noqa: F401

gc.collect()
gc.freeze()  # else each worker looks through all of this, and so copies the memory that it shares with the server
