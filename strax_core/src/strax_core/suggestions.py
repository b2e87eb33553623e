"""The end of a message about an unknown name: what was probably meant, or what there is."""

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``(did you mean 'x'?)``, or the known names if none is near."""
    import difflib

    names = sorted(known)
    near = difflib.get_close_matches(word.lower(), names, n=1)
    if near:
        return f"(did you mean {near[0]!r}?)"
    return f"(known: {', '.join(names)})" if names else "(there are none)"
