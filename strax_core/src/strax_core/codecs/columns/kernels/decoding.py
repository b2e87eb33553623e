"""From planes of bytes to rows."""

import numpy as np
import numpy.typing as npt
from numba import njit, types

from strax_core.codecs.columns.kernels.addresses import (
    ALL_BITS,
    ONE,
    ONE32,
    ROW_BYTES,
    WORD_BYTES,
    call4,
    call5,
    lesser,
    like,
    load8,
    load32,
    load64,
    load_like,
    number_at,
    ones,
    ones_between,
    rows_at_once,
    store8,
    store16,
    store32,
    store64,
    store_like,
    told,
    turn_round,
    zeros_below,
)
from strax_core.codecs.columns.kernels.compiling import compiled, compiled_at
from strax_core.codecs.columns.kernels.plan import (
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
from strax_core.codecs.columns.scratch import address_of

Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
_8, _16, _24 = np.uint32(8), np.uint32(16), np.uint32(24)
_FOUR = (types.int64,) * 4
_FIVE = (types.int64,) * 5


@njit
def _undo(row, n, u, one):
    """Undo what made the numbers small; `one` is as long as they are."""
    flags = told(row, FLAGS)
    value = load_like(row + WORD_BYTES * PREVIOUS, 0, one)
    if flags & ZIGZAG:
        for i in range(n):
            z = load_like(u, i, one)
            store_like(u, i, (z >> one) ^ (np.uint64(0) - (z & one)), one)
    if flags & DELTA:
        for i in range(n):
            value = like(value + load_like(u, i, one), one)
            store_like(u, i, value, one)
        store64(row, PREVIOUS, np.uint64(value))
    elif not flags & ZIGZAG and value != 0:
        for i in range(n):
            store_like(u, i, load_like(u, i, one) + value, one)


@compiled_at(*_FIVE)
def _short_values(row, at, n, u, zeros):
    """Put values of 2 or 4 bytes together; a plane that is not stored is zero."""
    k = told(row, N_PLANES)
    p0 = told(row, PLANES) + at if k > 0 else zeros
    p1 = told(row, PLANES + 1) + at if k > 1 else zeros
    if k <= 2:
        for i in range(n):
            store32(u, i, load8(p0, i) | np.uint32(load8(p1, i)) << _8)
    else:
        p2 = told(row, PLANES + 2) + at
        p3 = told(row, PLANES + 3) + at if k > 3 else zeros
        for i in range(n):
            low = load8(p0, i) | np.uint32(load8(p1, i)) << _8
            high = np.uint32(load8(p2, i)) << _16 | np.uint32(load8(p3, i)) << _24
            store32(u, i, low | high)
    _undo(row, n, u, ONE32)
    return 0


@compiled_at(*_FIVE)
def _long_values(row, at, n, u, zeros):
    """Put values of 8 bytes together."""
    k = told(row, N_PLANES)
    p0 = told(row, PLANES) + at if k > 0 else zeros
    p1 = told(row, PLANES + 1) + at if k > 1 else zeros
    for i in range(n):
        store64(u, i, load8(p0, i) | np.uint64(load8(p1, i)) << np.uint64(8))
    for j in range(2, k):
        p, shift = told(row, PLANES + j) + at, np.uint64(8 * j)
        for i in range(n):
            store64(u, i, load64(u, i) | np.uint64(load8(p, i)) << shift)
    _undo(row, n, u, ONE)
    return 0


@compiled_at(*_FIVE)
def _add_reference(row, reference, first_row, n_rows, u):
    """Add the number of another field in the same row."""
    count = told(row, COUNT)
    size = told(reference, WIDTH)
    stride = told(reference, STRIDE)
    source = told(reference, ADDRESS) + first_row * stride
    flags = told(reference, FLAGS)
    for i in range(n_rows):
        added = number_at(source + i * stride, size, flags)
        if told(row, WIDTH) == WORD_BYTES:
            for j in range(i * count, (i + 1) * count):
                store64(u, j, load64(u, j) + added)
        else:
            for j in range(i * count, (i + 1) * count):
                store32(u, j, load32(u, j) + added)
    return 0


@compiled_at(*_FIVE)
def _spread(u, v, mask, first, n):
    """Put values where the mask has ones, from bit `first` on, and zeros elsewhere."""
    at = 0
    done = 0
    while done < n:
        shift = (first + done) & 7
        taken = lesser(64 - shift, n - done)
        word = load64(mask + ((first + done) >> 3), 0) >> np.uint64(shift)
        word &= ALL_BITS >> np.uint64(64 - taken)
        if ones(word ^ (word << ONE)) <= 4:  # long runs of values and of zeros
            i = 0
            while i < taken:
                run = lesser(taken - i, np.int64(zeros_below(~(word >> np.uint64(i)))))
                for j in range(run):
                    store32(v, done + i + j, load32(u, at + j))
                at += run
                i += run
                if i < taken:
                    run = lesser(taken - i, np.int64(zeros_below(word >> np.uint64(i))))
                    for j in range(run):
                        store32(v, done + i + j, 0)
                    i += run
        else:
            for i in range(taken):
                store32(v, done + i, 0)
            while word != 0:
                store32(v, done + np.int64(zeros_below(word)), load32(u, at))
                at += 1
                word &= word - ONE
        done += taken
    return at


@compiled_at(*_FIVE)
def _spread_long(u, v, mask, first, n):
    """Do so with values of 8 bytes."""
    at = 0
    for i in range(n):
        bit = np.int64(load8(mask, (first + i) >> 3)) >> ((first + i) & 7) & 1
        store64(v, i, load64(u, at) * np.uint64(bit))
        at += bit
    return at


@njit
def _put_apart(row, to, n_rows, v):
    """Write values that do not lie together."""
    size = told(row, WIDTH)
    stride = told(row, STRIDE)
    if size == 2:
        for i in range(n_rows):
            store16(to + i * stride, 0, load32(v, i))
    elif size == 4:
        for i in range(n_rows):
            store32(to + i * stride, 0, load32(v, i))
    else:
        for i in range(n_rows):
            store64(to + i * stride, 0, load64(v, i))


@compiled_at(*_FOUR)
def _put(row, first_row, n_rows, v):
    """Write values into the rows."""
    size = told(row, WIDTH)
    count = told(row, COUNT)
    stride = told(row, STRIDE)
    to = told(row, ADDRESS) + first_row * stride
    if told(row, FLAGS) & SWAPPED:
        turn_round(v, n_rows * count, size)
    if stride == count * size:  # all rows lie together, as one long row
        count *= n_rows
        n_rows = 1
    if count == 1:
        _put_apart(row, to, n_rows, v)
        return 0
    words = count * size // 4
    for i in range(n_rows):
        if size == 2:
            first = v + i * count * 4
            for j in range(count):
                store16(to, j, load32(first, j))
        else:
            first = v + i * words * 4
            for j in range(words):
                store32(to, j, load32(first, j))
        to += stride
    return 0


@compiled_at(*_FOUR)
def _put_bytes(row, first_row, n_rows, _unused):
    """Write a field that is stored as it is."""
    count = told(row, COUNT)
    stride = told(row, STRIDE)
    to = told(row, ADDRESS) + first_row * stride
    if told(row, N_PLANES) == 0:
        for i in range(n_rows):
            for j in range(count):
                store8(to + i * stride, j, 0)
        return 0
    source = told(row, PLANES) + first_row * count
    if count == 1:
        for i in range(n_rows):
            store8(to + i * stride, 0, load8(source, i))
    else:
        for i in range(n_rows):
            for j in range(count):
                store8(to + i * stride, j, load8(source + i * count, j))
    return 0


_KERNELS = (_short_values, _long_values, _add_reference, _spread, _spread_long, _put, _put_bytes)
(_SHORT, _LONG, _ADD, _SPREAD, _SPREAD_LONG, _PUT, _PUT_BYTES) = range(len(_KERNELS))
(_ROWS_AT, _N_FIELDS, _N_ROWS, _TILE_ROWS, _SCRATCH_AT, _THIRD, _KERNELS_AT) = range(7)
"""Columns of the outermost kernel's task."""
_ADDRESSES = np.array([kernel.address for kernel in _KERNELS], np.int64)


@njit
def _decode_field(task, row, first, end):
    """Decode some rows of a field; say whether the mask fits the number of values.

    A row of very many values is decoded in stretches, each as if it were all that the row has.
    """
    count, address = told(row, COUNT), told(row, ADDRESS)
    step = rows_at_once(count)
    stretch = lesser(count, AT_ONCE)
    for at_row in range(first, end, step):
        n_taken = lesser(step, end - at_row)
        for at_value in range(0, count, stretch):
            n_each = lesser(stretch, count - at_value)
            store64(row, COUNT, n_each)
            store64(row, ADDRESS, address + at_value * told(row, WIDTH))
            if not _decode_values(task, row, at_row, n_taken, at_row * count + at_value):
                return False
    store64(row, COUNT, count)
    store64(row, ADDRESS, address)
    return True


@njit
def _decode_values(task, row, at_row, n_rows, bit):
    """Decode no more than `AT_ONCE` values, of which the first has this bit of the mask."""
    kernels, rows = told(task, _KERNELS_AT), told(task, _ROWS_AT)
    zeros, u = told(task, _SCRATCH_AT), told(task, _SCRATCH_AT) + told(task, _THIRD)
    v = u + told(task, _THIRD)
    is_long = told(row, WIDTH) == WORD_BYTES
    n = n_rows * told(row, COUNT)
    values, at, n_stored = u, told(row, DONE), n
    if told(row, FLAGS) & MASKED:
        n_stored = ones_between(told(row, MASK), bit, bit + n)
    if at + n_stored > told(row, N_VALUES):
        return False
    store64(row, DONE, at + n_stored)
    kernel = told(kernels, _LONG if is_long else _SHORT)
    call5(kernel, row, at, n_stored, u, zeros)
    if told(row, REFERENCE) >= 0:
        reference = rows + told(row, REFERENCE) * ROW_BYTES
        call5(told(kernels, _ADD), row, reference, at_row, n_rows, u)
    if told(row, FLAGS) & MASKED:
        kernel = told(kernels, _SPREAD_LONG if is_long else _SPREAD)
        call5(kernel, u, v, told(row, MASK), bit, n)
        values = v
    call4(told(kernels, _PUT), row, at_row, n_rows, values)
    return True


@compiled(types.int64)
def _decode_tiles(task):
    rows, n_fields, n_rows = told(task, _ROWS_AT), told(task, _N_FIELDS), told(task, _N_ROWS)
    zeros, tile_rows = told(task, _SCRATCH_AT), told(task, _TILE_ROWS)
    for i in range(told(task, _THIRD)):
        store8(zeros, i, 0)
    for field in range(n_fields):
        row = rows + field * ROW_BYTES
        store64(row, DONE, 0)
        store64(row, PREVIOUS, told(row, BASE))
    for first in range(0, n_rows, tile_rows):
        end = lesser(first + tile_rows, n_rows)
        for field in range(n_fields):
            row = rows + field * ROW_BYTES
            if told(row, WIDTH) == 1:
                call4(told(told(task, _KERNELS_AT), _PUT_BYTES), row, first, end - first, 0)
                store64(row, DONE, told(row, DONE) + (end - first) * told(row, COUNT))
            elif not _decode_field(task, row, first, end):
                return field
    for field in range(n_fields):
        if told(rows + field * ROW_BYTES, DONE) != told(rows + field * ROW_BYTES, N_VALUES):
            return field
    return FINE


def decode_block(plan: Int64s, n_rows: int, tile_rows: int, scratch: Words) -> int:
    """Decode all fields of a plan, tile by tile; the field whose mask does not fit, else `FINE`.

    A tile of rows stays in the processor's cache while its fields are written one after the other.
    `scratch` has three times `AT_ONCE` words.
    """
    third = len(scratch) // 3 * WORD_BYTES
    at_scratch, at_kernels = address_of(scratch), address_of(_ADDRESSES)
    task = np.array(
        [address_of(plan), len(plan), n_rows, tile_rows, at_scratch, third, at_kernels], np.int64
    )
    bad: int = _decode_tiles(address_of(task))
    return bad
