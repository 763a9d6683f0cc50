"""Importing one module of `kubernetes.aio` without running the whole of `kubernetes`.

`kubernetes/__init__.py` and `kubernetes/aio/__init__.py` import both clients, their stream,
watch and leader-election code: 0.3 s more than the two modules needed here, at every start.
So those two packages are entered without running them. They stay complete for everybody
else: the first attribute that is missing runs the package's own code.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from types import ModuleType

_LAZY = ("kubernetes", "kubernetes.aio")
_lock = threading.RLock()


class _LazyPackage(ModuleType):
    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name not in {"__version__", "__project__", "__all__"}:
            raise AttributeError(name)  # the import machinery looks; it must not find
        with _lock:
            if type(self) is _LazyPackage:
                object.__setattr__(self, "__class__", ModuleType)
                spec = self.__spec__
                if spec is not None and spec.loader is not None:
                    spec.loader.exec_module(self)
        return getattr(self, name)


def import_light(name: str) -> ModuleType:
    """`importlib.import_module(name)` for a module below `kubernetes.aio`."""
    with _lock:
        for package in _LAZY:
            if package in sys.modules:
                continue
            spec = importlib.util.find_spec(package)
            if spec is None:
                break
            module = importlib.util.module_from_spec(spec)
            module.__class__ = _LazyPackage
            sys.modules[package] = module
            parent, _, child = package.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)
        return importlib.import_module(name)
