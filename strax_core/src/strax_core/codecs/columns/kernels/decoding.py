"""From planes of bytes to rows."""

import numpy as np
import numpy.typing as npt
from numba import njit, types

from strax_core.codecs.columns.kernels import (
    ADDRESS,
    AT_ONCE,
    BASE,
    COUNT,
    DELTA,
    DONE,
    FINE,
    FLAGS,
    MASK,
    MASKED,
    N_PLANES,
    N_VALUES,
    PLANES,
    PREVIOUS,
    REFERENCE,
    STRIDE,
    SWAPPED,
    WIDTH,
    ZIGZAG,
)
from strax_core.codecs.columns.kernels.addresses import (
    ALL_BITS,
    ONE,
    PLAN,
    WORDS,
    load8,
    load64,
    ones,
    ones_between,
    reference_of,
    store,
    swapped,
    zeros_below,
)
from strax_core.compiling import compiled

Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
_u8, _u16 = np.uint32(8), np.uint32(16)


@njit
def _join_planes(u, plan, field, at, n):
    """Put values together from their bytes; a plane that is not stored is zero."""
    k = plan[field, N_PLANES]
    p0, p1 = plan[field, PLANES] + at, plan[field, PLANES + 1] + at
    p2, p3 = plan[field, PLANES + 2] + at, plan[field, PLANES + 3] + at
    if k == 0:
        for i in range(n):
            u[i] = 0
    elif k == 1:
        for i in range(n):
            u[i] = np.uint64(load8(p0 + i))
    elif k < 4:
        for i in range(n):
            u[i] = np.uint64(np.uint32(load8(p0 + i)) | np.uint32(np.uint32(load8(p1 + i)) << _u8))
    else:
        for i in range(n):
            low = np.uint32(load8(p0 + i)) | np.uint32(np.uint32(load8(p1 + i)) << _u8)
            high = np.uint32(load8(p2 + i)) | np.uint32(np.uint32(load8(p3 + i)) << _u8)
            u[i] = np.uint64(low | np.uint32(high << _u16))
    for j in range(2 if k == 3 else 4, k):
        p, shift = plan[field, PLANES + j] + at, np.uint64(8 * j)
        for i in range(n):
            u[i] |= np.uint64(load8(p + i)) << shift


@njit
def _add_differences(u, plan, field, n):
    flags = plan[field, FLAGS]
    value = np.uint64(plan[field, PREVIOUS])
    if flags & ZIGZAG and flags & DELTA:
        for i in range(n):
            value += (u[i] >> ONE) ^ (np.uint64(0) - (u[i] & ONE))
            u[i] = value
    elif flags & ZIGZAG:
        for i in range(n):
            u[i] = (u[i] >> ONE) ^ (np.uint64(0) - (u[i] & ONE))
    elif flags & DELTA:
        for i in range(n):
            value += u[i]
            u[i] = value
    elif plan[field, BASE] != 0:
        for i in range(n):
            u[i] += value
    if flags & DELTA:
        plan[field, PREVIOUS] = np.int64(value)


@njit
def _add_reference(u, plan, field, first_row, n_rows):
    count = plan[field, COUNT]
    reference = plan[field, REFERENCE]
    for row in range(n_rows):
        added = reference_of(plan, reference, first_row + row)
        for i in range(row * count, (row + 1) * count):
            u[i] += added


@njit
def _spread(u, v, mask, first, n):
    """Put values where the mask has ones, from bit `first` on, and zeros elsewhere."""
    at = 0
    done = 0
    while done < n:
        shift = (first + done) & 7
        taken = min(64 - shift, n - done)
        word = load64(mask + ((first + done) >> 3)) >> np.uint64(shift)
        word &= ALL_BITS >> np.uint64(64 - taken)
        if ones(word ^ (word << ONE)) <= 4:  # long runs of values and of zeros
            i = 0
            while i < taken:
                run = min(taken - i, np.int64(zeros_below(~(word >> np.uint64(i)))))
                for j in range(run):
                    v[done + i + j] = u[at + j]
                at += run
                i += run
                if i < taken:
                    run = min(taken - i, np.int64(zeros_below(word >> np.uint64(i))))
                    for j in range(run):
                        v[done + i + j] = 0
                    i += run
        else:
            for i in range(taken):
                v[done + i] = 0
            while word != 0:
                v[done + np.int64(zeros_below(word))] = u[at]
                at += 1
                word &= word - ONE
        done += taken


@njit
def _put_apart(v, n, to, step, size):
    """Write values that do not lie together."""
    if size == 2:
        for i in range(n):
            store(to + i * step, np.uint16(v[i]))
    elif size == 4:
        for i in range(n):
            store(to + i * step, np.uint32(v[i]))
    else:
        for i in range(n):
            store(to + i * step, v[i])


@njit
def _put_together(v, first, n, to, size):
    """Write values that lie one after the other."""
    if size == 2:
        for i in range(n):
            store(to + i * 2, np.uint16(v[first + i]))
    elif size == 4:
        for i in range(n):
            store(to + i * 4, np.uint32(v[first + i]))
    else:
        for i in range(n):
            store(to + i * 8, v[first + i])


@njit
def _put(v, plan, field, first_row, n_rows):
    """Write values into the rows."""
    size = plan[field, WIDTH]
    count = plan[field, COUNT]
    stride = plan[field, STRIDE]
    to = plan[field, ADDRESS] + first_row * stride
    if plan[field, FLAGS] & SWAPPED:
        for i in range(n_rows * count):
            v[i] = swapped(v[i], size)
    if stride == count * size:  # all rows lie together, as one long row
        count *= n_rows
        n_rows = 1
    if count == 1:
        _put_apart(v, n_rows, to, stride, size)
    else:
        for row in range(n_rows):
            _put_together(v, row * count, count, to + row * stride, size)


@njit
def _copy_bytes(plan, field, first_row, n_rows):
    """Write a field that is stored as it is."""
    count = plan[field, COUNT]
    stride = plan[field, STRIDE]
    to = plan[field, ADDRESS] + first_row * stride
    source = plan[field, PLANES] + first_row * count
    is_zero = plan[field, N_PLANES] == 0
    if stride == count:
        count *= n_rows
        n_rows = 1
    for row in range(n_rows):
        if is_zero:
            for i in range(count):
                store(to + row * stride + i, np.uint8(0))
        elif count == 1:
            store(to + row * stride, load8(source + row))
        else:
            for i in range(count):
                store(to + row * stride + i, load8(source + row * count + i))


@njit
def _decode_tile(plan, field, first_row, n_rows, u, v):
    """Decode some rows of a field; say whether the mask fits the number of values."""
    count = plan[field, COUNT]
    n = n_rows * count
    at = plan[field, DONE]
    if plan[field, WIDTH] == 1:
        _copy_bytes(plan, field, first_row, n_rows)
        plan[field, DONE] = at + n
        return True
    is_masked = plan[field, FLAGS] & MASKED
    n_stored = n
    first = first_row * count
    if is_masked:
        n_stored = ones_between(plan[field, MASK], first, first + n)
    if at + n_stored > plan[field, N_VALUES]:
        return False
    plan[field, DONE] = at + n_stored
    _join_planes(u, plan, field, at, n_stored)
    _add_differences(u, plan, field, n_stored)
    if plan[field, REFERENCE] >= 0:
        _add_reference(u, plan, field, first_row, n_rows)
    if is_masked:
        _spread(u, v, plan[field, MASK], first, n)
        u = v
    _put(u, plan, field, first_row, n_rows)
    return True


@compiled(PLAN, types.int64, types.int64, WORDS)
def decode_block(plan: Int64s, n_rows: int, tile_rows: int, scratch: Words) -> int:
    """Decode all fields of a plan, tile by tile; the field whose mask does not fit, else `FINE`.

    A tile of rows stays in the processor's cache while its fields are written one after the other.
    `scratch` has twice as many words as a row of the largest field has values, or `AT_ONCE`.
    """
    half = len(scratch) // 2
    for field in range(len(plan)):
        plan[field, DONE] = 0
        plan[field, PREVIOUS] = plan[field, BASE]
    for first in range(0, n_rows, tile_rows):
        end = min(first + tile_rows, n_rows)
        for field in range(len(plan)):
            step = max(1, AT_ONCE // plan[field, COUNT])
            for row in range(first, end, step):
                n = min(step, end - row)
                if not _decode_tile(plan, field, row, n, scratch[:half], scratch[half:]):
                    return field
    for field in range(len(plan)):
        if plan[field, DONE] != plan[field, N_VALUES]:
            return field
    return FINE
