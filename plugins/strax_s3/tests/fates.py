"""Fates that meet one request."""

from collections.abc import Callable

from strax_core.testing import Fate, HttpRequest


def once(fate: Fate, *, method: str, part: str = "") -> Callable[[HttpRequest], Fate | None]:
    """Return what decides so about the first such request, and lets all others pass."""
    hit: list[HttpRequest] = []

    def decide(request: HttpRequest) -> Fate | None:
        if request.method == method and part in request.target and not hit:
            hit.append(request)
            return fate
        return None

    return decide
