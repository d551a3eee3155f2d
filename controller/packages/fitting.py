"""Why the wheels of a package fit no interpreter here, or lack something. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from controller.errors import Code, PackageError
from controller.packages.closure import Misfit
from controller.packages.interpreters import Interpreter, Unusable
from controller.packages.platforms import packed_for
from controller.packages.wheels import Wheel

_ADAPTER = "procvision_algorithm_sdk/adapter/__main__.py"


def not_there(misfits: Sequence[tuple[Interpreter, Misfit]]) -> PackageError:
    """Return 2004 for the first interpreter that would do: what is missing for it is missing for good."""
    interpreter, misfit = next(each for each in misfits if not each[1].incompatible)
    return PackageError(
        Code.wheels_missing,
        "; ".join(misfit.missing),
        next_step="add the wheel to wheels/ and pack again",
        details={"missing": list(misfit.missing), "interpreter": str(interpreter)},
    )


def none_fits(misfits: Sequence[tuple[Interpreter, Misfit]], unusable: Sequence[Unusable]) -> PackageError:
    """Return 2003: the wheels are made for none of the interpreters."""
    wheels = misfits[0][1].incompatible if misfits else ()
    here = [interpreter for interpreter, _ in misfits]
    target = packed_for(wheels, here)
    broken = f"; not usable: {', '.join(map(str, unusable))}" if unusable else ""
    return PackageError(
        Code.incompatible_python,
        f"{target.words}: no interpreter here fits its wheels: {'; '.join(wheel.wants for wheel in wheels)}; here is "
        f"{', '.join(map(str, here)) or 'none'}{broken}",
        next_step=target.next_step,
        details={"wants": [wheel.wants for wheel in wheels], "interpreters": [str(each) for each in here]},
    )


def require_adapter(sdk: str, candidates: Sequence[Wheel]) -> None:
    """Refuse a package none of whose SDKs has the adapter that an algorithm process is. Raises PackageError 2005."""
    if candidates and all(wheel.files is not None and _ADAPTER not in wheel.files for wheel in candidates):
        versions = ", ".join(str(wheel.version) for wheel in candidates)
        raise PackageError(
            Code.install_failed,
            f"{sdk} {versions} has no adapter: nothing can start an algorithm with it",
            next_step=f"ask for {sdk}>=0.0.6 in requirements.txt and pack it again",
        )
