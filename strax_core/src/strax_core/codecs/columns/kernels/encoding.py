"""From rows to planes of bytes."""

import numpy as np
import numpy.typing as npt
from numba import njit, types

from strax_core.codecs.columns.kernels import (
    ADDRESS,
    AT_ONCE,
    BASE,
    COUNT,
    DELTA,
    FLAGS,
    MASK,
    MASK_BITS,
    MASKED,
    N_PLANES,
    N_VALUES,
    OFFSET,
    PLANES,
    PREVIOUS,
    RANDOM,
    REFERENCE,
    SKIPPED,
    STRIDE,
    SWAPPED,
    WIDTH,
    ZIGZAG,
)
from strax_core.codecs.columns.kernels.addresses import (
    ALL_BITS,
    PLAN,
    WORDS,
    load8,
    load16,
    load32,
    reference_of,
    signed,
    store,
    value_at,
)
from strax_core.compiling import compiled

Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
_TESTED = 4096  # bytes of a plane, to tell whether it looks random


@njit
def _take(u, plan, field, first_row, n_rows):
    """Read values out of the rows."""
    size = plan[field, WIDTH]
    count = plan[field, COUNT]
    stride = plan[field, STRIDE]
    source = plan[field, ADDRESS] + first_row * stride
    is_swapped = plan[field, FLAGS] & SWAPPED
    for row in range(n_rows):
        at, first = source + row * stride, row * count
        if is_swapped or size == 8:
            for i in range(count):
                u[first + i] = value_at(at + i * size, size, is_swapped)
        elif size == 2:
            for i in range(count):
                u[first + i] = np.uint64(load16(at + i * 2))
        else:
            for i in range(count):
                u[first + i] = np.uint64(load32(at + i * 4))


@njit
def _compact(u, plan, field, first_row, n):
    """Keep the values that are not zero; note in the mask which they are."""
    bits = np.uint64(plan[field, MASK_BITS])
    bit = first_row * plan[field, COUNT]
    at = 0
    for i in range(n):
        value = u[i]
        is_kept = np.uint64(value != 0)
        bits |= is_kept << np.uint64(bit & 63)
        bit += 1
        if bit & 63 == 0:
            store(plan[field, MASK] + (bit >> 3) - 8, bits)
            bits = np.uint64(0)
        u[at] = value
        at += np.int64(is_kept)
    plan[field, MASK_BITS] = np.int64(bits)
    return at


@njit
def _subtract_reference(u, plan, field, first_row, n_rows):
    count = plan[field, COUNT]
    for row in range(n_rows):
        subtracted = reference_of(plan, plan[field, REFERENCE], first_row + row)
        for i in range(row * count, (row + 1) * count):
            u[i] -= subtracted


@njit
def _subtract(u, plan, field, n):
    """Leave small numbers: differences, or what is above the least."""
    size = plan[field, WIDTH]
    flags = plan[field, FLAGS]
    base = np.uint64(plan[field, BASE])
    if flags & DELTA:
        before = np.uint64(plan[field, PREVIOUS])
        for i in range(n):
            value = u[i]
            u[i] = value - before
            before = value
        plan[field, PREVIOUS] = np.int64(before)
    elif base != 0:
        for i in range(n):
            u[i] -= base
    if flags & ZIGZAG:
        for i in range(n):
            value = signed(u[i], size)
            u[i] = np.uint64((value << 1) ^ (value >> 63))
    used = ALL_BITS >> np.uint64(64 - 8 * size)
    seen = np.uint64(0)
    for i in range(n):
        u[i] &= used
        seen |= u[i]
    return seen


@njit
def _find_base(u, plan, field, n_rows):
    """Note what the first difference is to, or the least of all values."""
    size = plan[field, WIDTH]
    count = plan[field, COUNT]
    plan[field, BASE] = 0
    if plan[field, FLAGS] & DELTA:
        _take(u, plan, field, 0, 1)
        plan[field, BASE] = signed(u[0], size)
    elif plan[field, FLAGS] & OFFSET:
        least = np.int64(0x7FFFFFFFFFFFFFFF)
        step = max(1, AT_ONCE // count)
        for row in range(0, n_rows, step):
            n = min(step, n_rows - row)
            _take(u, plan, field, row, n)
            for i in range(n * count):
                least = min(least, signed(u[i], size))
        plan[field, BASE] = least
    plan[field, PREVIOUS] = plan[field, BASE]


@njit
def _looks_random(plane, n):
    """Say whether all bytes are about as frequent as in noise, which nothing compresses."""
    tested = min(n, _TESTED)
    if tested < 1024:
        return False
    counts = np.zeros(256, np.int64)
    step = n // tested
    for i in range(tested):
        counts[load8(plane + i * step)] += 1
    total = 0
    for i in range(256):
        total += counts[i] * counts[i]
    expected = tested * tested // 256 + tested
    return 0.96 * expected < total < 1.04 * expected


@njit
def _put_planes(u, plan, field, n_most, n):
    """Write the bytes of some values behind those of the values before."""
    done = plan[field, N_VALUES]
    for j in range(plan[field, N_PLANES]):
        plane, shift = plan[field, PLANES] + j * n_most + done, np.uint64(8 * j)
        for i in range(n):
            store(plane + i, np.uint8(u[i] >> shift))
    plan[field, N_VALUES] = done + n


@njit
def _encode_values(plan, field, n_rows, u):
    count = plan[field, COUNT]
    n_most = n_rows * count
    is_masked = plan[field, FLAGS] & MASKED
    _find_base(u, plan, field, n_rows)
    plan[field, N_VALUES] = plan[field, N_PLANES] = plan[field, MASK_BITS] = 0
    step = max(1, AT_ONCE // count)
    for row in range(0, n_rows, step):
        n_taken = min(step, n_rows - row)
        n = n_taken * count
        _take(u, plan, field, row, n_taken)
        if is_masked:
            n = _compact(u, plan, field, row, n)
        elif plan[field, REFERENCE] >= 0:
            _subtract_reference(u, plan, field, row, n_taken)
        seen = _subtract(u, plan, field, n)
        k = plan[field, N_PLANES]
        while k < 8 and seen >> np.uint64(8 * k) != 0:
            for i in range(plan[field, N_VALUES]):  # the values before had no such byte
                store(plan[field, PLANES] + k * n_most + i, np.uint8(0))
            k += 1
        plan[field, N_PLANES] = k
        _put_planes(u, plan, field, n_most, n)
    if is_masked and n_most & 63:
        store(plan[field, MASK] + (n_most >> 6) * 8, np.uint64(plan[field, MASK_BITS]))


@njit
def _encode_bytes(plan, field, n_rows):
    count = plan[field, COUNT]
    source, to = plan[field, ADDRESS], plan[field, PLANES]
    seen = np.uint8(0)
    for row in range(n_rows):
        for i in range(count):
            value = load8(source + row * plan[field, STRIDE] + i)
            seen |= value
            store(to + row * count + i, value)
    plan[field, N_VALUES] = n_rows * count
    plan[field, N_PLANES] = np.int64(seen != 0)


@compiled(PLAN, types.int64, WORDS)
def encode_block(plan: Int64s, n_rows: int, scratch: Words) -> None:
    """Make the planes and masks of all fields of a plan.

    Plane j lies j times as many bytes behind the first as there are values at most, masked or not.
    `scratch` has as many words as a row of the largest field has values, or `AT_ONCE`.
    """
    for field in range(len(plan)):
        if plan[field, FLAGS] & SKIPPED:
            continue
        if plan[field, WIDTH] == 1:
            _encode_bytes(plan, field, n_rows)
        else:
            _encode_values(plan, field, n_rows, scratch)
        n_most = n_rows * plan[field, COUNT]
        random = 0
        for j in range(plan[field, N_PLANES]):
            plane = plan[field, PLANES] + j * n_most
            random |= np.int64(_looks_random(plane, plan[field, N_VALUES])) << j
        plan[field, RANDOM] = random
