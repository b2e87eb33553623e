"""The end of a message about an unknown name: what was probably meant, or what there is."""

from collections.abc import Iterable


def near_name(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like this one, if any is near."""
    import difflib

    return next(iter(difflib.get_close_matches(word.lower(), sorted(known), n=1)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``(did you mean 'x'?)``, or the known names if none is near."""
    names = sorted(known)
    near = near_name(word, names)
    if near is not None:
        return f"(did you mean {near!r}?)"
    return f"(known: {', '.join(names)})" if names else "(there are none)"
