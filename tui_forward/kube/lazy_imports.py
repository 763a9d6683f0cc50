"""Importing one module of `kubernetes.aio`, and aiohttp, without what nobody needs of them.

`kubernetes/__init__.py` and `kubernetes/aio/__init__.py` import both clients, their stream,
watch and leader-election code: 0.3 s more than the two modules needed here, at every start.
So those two packages are entered without running them. They stay complete for everybody
else: the first attribute that is missing runs the package's own code.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
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


_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # what OpenSSL asks for the system's authorities


def load_aiohttp() -> None:
    """Import aiohttp without the system's authorities.

    It reads them twice while it is imported (60 ms), for connections that name no trust of
    their own. All connections of this package do; one that did not would trust nobody.
    """
    if "aiohttp" in sys.modules:
        return
    with _lock:
        before = {name: os.environ.get(name) for name in _TRUST}
        os.environ.update(dict.fromkeys(_TRUST, os.devnull))
        try:
            importlib.import_module("aiohttp")
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
