"""What the front door of core offers is enough to annotate, to override, and to be found."""

import inspect
import typing
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest

import strax_core

ROLES = [strax_core.StorageFrontend, strax_core.StorageBackend, strax_core.Saver]
PUBLIC = {name: getattr(strax_core, name) for name in strax_core.__all__}
LATE = {"pd": ModuleType("pandas")}  # the names of modules that come late, in annotations
LATE["pd"].DataFrame = object  # type: ignore[attr-defined]


def functions_of(name: str, value: Any) -> Iterator[tuple[str, FunctionType]]:
    """Yield the public functions of something public, and what makes an instance."""
    if inspect.isfunction(value):
        yield name, value
    for own, member in inspect.getmembers(value) if isinstance(value, type) else ():
        inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
        is_ours = inspect.isfunction(inner) and inner.__module__.startswith("strax_core")
        if is_ours and (not own.startswith("_") or own == "__init__"):
            yield f"{name}.{own}", inner


def types_in(annotation: Any) -> Iterator[type]:
    """Yield the classes that an annotation names."""
    if isinstance(annotation, type):
        yield annotation
    for part in typing.get_args(annotation):
        for each in part if isinstance(part, list) else [part]:
            yield from types_in(each)


def annotations_of(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the annotations of its attributes, and of its functions."""
    if isinstance(value, type):
        for own, annotation in typing.get_type_hints(value).items():
            if not own.startswith("_"):
                yield f"{name}.{own}", annotation
    for function_name, function in functions_of(name, value):
        for argument, annotation in typing.get_type_hints(function, localns=LATE).items():
            yield f"{function_name}({argument})", annotation


@pytest.mark.parametrize("name", [name for name in PUBLIC if not name.isupper()])
def test_every_type_in_a_public_signature_can_be_imported_from_the_front_door(name: str) -> None:
    offered = {id(value) for value in PUBLIC.values()}
    missing = {
        where: kind.__qualname__
        for where, annotation in annotations_of(name, PUBLIC[name])
        for kind in types_in(annotation)
        if kind.__module__.startswith("strax_core") and id(kind) not in offered
    }

    assert missing == {}


def test_the_front_door_shows_public_names_only_those_that_come_late_included() -> None:
    assert dir(strax_core) == sorted(strax_core.__all__)
    assert {"Provided", "SecretReference", "hookimpl"} <= set(dir(strax_core))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.__name__)
def test_the_help_of_a_role_says_what_must_be_overridden(role: type) -> None:
    must = [
        name
        for name, function in functions_in(role)
        if ("must override" in inspect.getsource(function) and name != "_not_overridden")
        or ("_not_overridden(" in inspect.getsource(function) and name != "_not_overridden")
    ]

    assert must
    assert [name for name in must if f"`{name}`" not in str(role.__doc__)] == []


def functions_in(role: type) -> Iterator[tuple[str, FunctionType]]:
    """Yield the functions that a class itself defines, and those of its properties."""
    for name, member in vars(role).items():
        function = getattr(member, "fget", None) or member
        if inspect.isfunction(function):
            yield name, function
