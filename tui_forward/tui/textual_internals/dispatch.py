"""How a message finds its handlers, without repeated work."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, MethodType
from typing import Any, cast

from textual import _callback
from textual.message import Message
from textual.message_pump import MessagePump

# The handlers of one class, which `prevent_default` of a subclass's handler leaves out.
_ClassHandlers = tuple[type, tuple[Any, ...]]
# Attributes of a function that has a signature other than that of its code.
_OTHER_SIGNATURE = frozenset({"__wrapped__", "__signature__"})


@functools.cache
def dispatch_quickly() -> None:
    """Let handlers of messages be looked up once per class of widget and of message.

    Textual looks through all base classes of a widget for each message, and calls
    `inspect.signature` for each lambda and partial that is called later. Of a key that moves the
    cursor these were a sixth of the work.
    """
    original = MessagePump._get_dispatch_methods  # noqa: SLF001 - see above

    def get_dispatch_methods(
        self: MessagePump, method_name: str, message: Message
    ) -> Iterable[tuple[type, Callable[[Message], Any]]]:
        classes: tuple[Any, Any] = type(self), type(message)
        handlers = _find_handlers(*classes, method_name)
        if handlers is None:
            return original(self, method_name, message)
        return _bind(handlers, self, message) if handlers else ()

    cast("Any", MessagePump)._get_dispatch_methods = get_dispatch_methods  # noqa: SLF001
    cast("Any", _callback)._count_parameters = count_parameters  # noqa: SLF001


def _bind(
    handlers: tuple[_ClassHandlers, ...], pump: MessagePump, message: Message
) -> Iterator[tuple[type, Callable[[Message], Any]]]:
    for owner, functions in handlers:
        if message._no_default_action:  # noqa: SLF001 - see above
            return
        for function in functions:
            yield owner, function.__get__(pump, owner)


@functools.cache
def _find_handlers(
    pump: type[Any], message: type[Message], method_name: str
) -> tuple[_ClassHandlers, ...] | None:
    """Return the handlers by class, as `MessagePump._get_dispatch_methods` orders them.

    None if it depends on the widget that sent a message whether there are more.
    """
    found: list[_ClassHandlers] = []
    decorated: set[Any] = set()
    for owner in pump.__mro__:
        functions: list[Any] = []
        by_message = vars(owner).get("_decorated_handlers") or {}
        for message_class in message.__mro__:
            for function, selectors in by_message.get(message_class, ()):
                if selectors:
                    return None
                if function not in decorated:
                    decorated.add(function)
                    functions.append(function)
        named = vars(owner).get(f"_{method_name}") or vars(owner).get(method_name)
        if named is not None and not getattr(named, "_textual_on", None):
            functions.append(named)
        if functions:
            found.append((owner, tuple(functions)))
    return tuple(found)


def count_parameters(function: Callable[..., Any]) -> int:
    """Return the number of parameters of a function or method, as in its signature."""
    if type(function) is MethodType:
        return count_parameters(function.__func__) - 1
    if type(function) is not FunctionType or not _OTHER_SIGNATURE.isdisjoint(vars(function)):
        return len(inspect.signature(function).parameters)
    code = function.__code__
    return (
        code.co_argcount
        + code.co_kwonlyargcount
        + bool(code.co_flags & inspect.CO_VARARGS)
        + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    )
