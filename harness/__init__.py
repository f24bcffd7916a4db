"""All that a plugin author imports, and nothing else: the names are listed in ``__init__.pyi``.

Each is resolved when it is first used, so that a module of specs and hooks costs no import of torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
