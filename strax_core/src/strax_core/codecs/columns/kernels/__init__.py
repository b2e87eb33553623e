"""Compiled loops between rows and planes of bytes, and the plans that tell them what to do.

They work on addresses, since one compile then serves every dtype: **whoever calls them has checked
that all addresses and sizes lie within the arrays they are of**. A value has 2, 4 or 8 bytes; a
"plane" is byte j of many values, one after the other. `docs/format.md` tells what the filters do.

Only the modules here import numba.
"""
