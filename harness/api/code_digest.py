"""A digest of a class in memory, by which results of its different versions are told apart.

It covers the code of the class, and the functions, classes and values of the same module that the code refers to.
What other modules define counts by its name only, as for a plugin file. Bytecode is hashed, not text, so that comments
and the place of the class do not matter, and classes typed at a prompt have a digest too. Another version of Python may
give another digest.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import inspect
import pickle
from collections.abc import Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, GenericAlias, ModuleType, UnionType
from typing import Any

from harness.errors import UsageError

_global_loads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_generated = "<string>"  # the file name of methods that ``dataclass`` generates; they follow from the fields


def digest_of_code(factory: type) -> str:
    """Return the digest of a class, ``code:`` and 12 hexadecimal digits.

    Raises:
        UsageError: the class refers to a value that cannot be hashed.
    """
    hasher = _Hasher(factory)
    hasher.add(factory, factory.__name__)
    return f"code:{hasher.digest.hexdigest()[:12]}"


class _Hasher:
    def __init__(self, factory: type) -> None:
        self.factory = factory
        self.digest = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no identifier is given to another object meanwhile

    def add(self, value: Any, name: str) -> None:
        """Add a value, which the code refers to by this name."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes) or value is ...:
            self._write(type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self._write("seen", str(self._seen[id(value)]))
            return
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        if isinstance(value, type):
            self._add_class(value)
        elif isinstance(value, FunctionType):
            self._add_function(value)
        elif isinstance(value, CodeType):
            self._add_code(value)
        elif isinstance(value, ModuleType):
            self._write("module", value.__name__)
        elif isinstance(value, BuiltinFunctionType):
            self._write("builtin", value.__qualname__)
        elif isinstance(value, GenericAlias | UnionType):
            self._write("type", str(value))
        else:
            self._add_container(value, name)

    def _add_class(self, found: type) -> None:
        self._write("class", f"{'' if self._is_near(found) else found.__module__}.{found.__qualname__}")
        if not self._is_near(found):
            return
        for base in found.__bases__:
            self.add(base, base.__name__)
        is_dataclass = "__dataclass_fields__" in vars(found)
        if is_dataclass:
            for field in dataclasses.fields(found):
                for part in (field.name, str(field.type), field.default, field.default_factory, dict(field.metadata)):
                    self.add(part, f"{found.__name__}.{field.name}")
        for name, member in sorted(vars(found).items()):
            is_special = name.startswith("__") and name.endswith("__") and not isinstance(member, FunctionType)
            code = getattr(member, "__code__", None)
            if is_special or name.startswith("_abc_") or (is_dataclass and code and code.co_filename == _generated):
                continue
            if is_dataclass and name in {field.name for field in dataclasses.fields(found)}:
                continue
            self._write("member", name)
            self.add(member, f"{found.__name__}.{name}")

    def _add_function(self, function: FunctionType) -> None:
        if not self._is_near(function):
            self._write("function", f"{function.__module__}.{function.__qualname__}")
            return
        self._write("function", function.__name__)
        self.add(function.__code__, function.__name__)
        self.add(function.__defaults__, function.__name__)
        self.add(function.__kwdefaults__, function.__name__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._write("closure", name)
            self.add(cell.cell_contents, name)
        for name in sorted(_globals_of(function.__code__)):
            if name in function.__globals__:
                self._write("global", name)
                self.add(function.__globals__[name], name)

    def _add_code(self, code: CodeType) -> None:
        self._write("code", code.co_code.hex())
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
            self._write("names", ",".join(names))
        for constant in code.co_consts:
            self.add(constant, code.co_name)

    def _add_container(self, value: Any, name: str) -> None:
        if isinstance(value, property):
            parts: list[Any] = [value.fget, value.fset, value.fdel]
        elif isinstance(value, staticmethod | classmethod):
            parts = [value.__func__]
        elif isinstance(value, functools.cached_property):
            parts = [value.func]
        elif isinstance(value, tuple | list):
            parts = list(value)
        elif isinstance(value, set | frozenset):
            parts = sorted(value, key=repr)
        elif isinstance(value, Mapping):
            parts = [part for item in value.items() for part in item]
        else:
            self._add_object(value, name)
            return
        self._write(type(value).__name__, str(len(parts)))
        for part in parts:
            self.add(part, name)

    def _add_object(self, value: Any, name: str) -> None:
        try:
            self._write("object", pickle.dumps(value, protocol=4).hex())
        except Exception as error:
            raise UsageError(
                f"{self.factory.__name__} refers to {name}, of type {type(value).__name__}, which cannot be hashed, so "
                "its results could not be told apart from others; write the plugin to a file, and pass the file"
            ) from error
        if self._is_near(type(value)):
            self.add(type(value), name)

    def _is_near(self, value: Any) -> bool:
        return inspect.getmodule(value) is inspect.getmodule(self.factory) and not isinstance(value, GenericAlias)

    def _write(self, kind: str, text: str) -> None:
        self.digest.update(f"{kind} {len(text)} {text}\n".encode())


def _globals_of(code: CodeType) -> set[str]:
    """Return the names of the globals that code refers to, also within functions that it defines."""
    found = {each.argval for each in dis.get_instructions(code) if each.opname in _global_loads}
    return found.union(*(_globals_of(each) for each in code.co_consts if isinstance(each, CodeType)))
