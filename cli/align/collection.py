"""What the plugin does while tests are collected: checks marks, parametrises `align_suite`, adds the tests of `--align-compare-fail`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from .marker import Declared, declared
from .options import given

SUITE = "align_suite"
"""The fixture that a test is parametrised by."""


def parametrise(metafunc: pytest.Metafunc) -> None:
    """One test per suite of `--align-suite`; ids are names of suites, never prompts."""
    made = declared(metafunc.definition) or Declared()
    names = made.suite or _suites(given(metafunc.config), made.kind)
    if not names:
        reason = f"no {made.kind} suite among those of --align-suite"
        metafunc.parametrize(SUITE, [pytest.param("", marks=pytest.mark.skip(reason=reason), id="none")])
        return
    metafunc.parametrize(SUITE, names, ids=[_id(name) for name in names])


def mark_fixtures(items: Sequence[pytest.Item], *, strict: bool) -> None:
    """Check the marks, and give every test that declares a gate the `align` fixture.

    Args:
        items: of the session.
        strict: a wrong mark is a usage error. Not so on a worker of pytest-xdist, whose usage error reaches nobody: there the test fails.
    """
    for item in items:
        try:
            made = declared(item)
        except pytest.UsageError:
            if strict:
                raise
            continue
        names = getattr(item, "fixturenames", None)
        if made and made.gate and names is not None and "align" not in names:
            names.append("align")


def _suites(options: Mapping[str, str], kind: str | None) -> Sequence[str]:
    from ...prompts.errors import InputError
    from ...prompts.loader import load_suite
    from ..materials import measured_world
    from .facade import is_of
    from .subject import OWN, make_align_subject, suites_asked

    try:
        subject = make_align_subject({"model": OWN, **options})
        assert subject is not None
        split_seed, split = measured_world(subject.config)
        return [
            name
            for name in suites_asked(options, subject)
            if kind is None or is_of(load_suite(name, split_seed=split_seed, split=split), kind)
        ]
    except InputError as error:
        raise pytest.UsageError(str(error)) from None


def _id(name: str) -> str:
    return "".join(char if char.isascii() and (char.isalnum() or char in "._@+-") else "-" for char in Path(name).name)


class GateHooks:
    """Decides the gates of marked tests after their bodies; registered when there are any."""

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Any:
        """Run the test, then its gate."""
        try:
            made = declared(pyfuncitem)
        except pytest.UsageError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        result = yield
        if made and made.gate:
            callspec = getattr(pyfuncitem, "callspec", None)
            try:
                align: Any = pyfuncitem.funcargs["align"]
                align.check_declared(callspec.params.get(SUITE) if callspec else None)
            except AssertionError as error:
                raise pytest.fail.Exception(str(error), pytrace=False) from None
        return result
