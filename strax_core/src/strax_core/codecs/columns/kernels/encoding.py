"""From rows to planes of bytes."""

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
    load16,
    load32,
    load64,
    load_like,
    number_at,
    rows_at_once,
    store8,
    store32,
    store64,
    store_like,
    told,
    turn_round,
)
from strax_core.codecs.columns.kernels.compiling import compiled, compiled_at
from strax_core.codecs.columns.kernels.plan import (
    ADDRESS,
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
    SEEN,
    SKIPPED,
    STRIDE,
    SWAPPED,
    WIDTH,
    ZIGZAG,
)
from strax_core.codecs.columns.scratch import address_of

Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
_FOUR = (types.int64,) * 4
_FIVE = (types.int64,) * 5
_MOST = 0x7FFFFFFFFFFFFFFF
_TESTED = 4096  # bytes of a plane, to tell whether it looks random


@compiled_at(*_FOUR)
def _take(row, first_row, n_rows, u):
    """Read values out of the rows."""
    size = told(row, WIDTH)
    count = told(row, COUNT)
    stride = told(row, STRIDE)
    source = told(row, ADDRESS) + first_row * stride
    if size == 2:
        for i in range(n_rows):
            for j in range(count):
                store32(u, i * count + j, load16(source + i * stride, j))
    elif size == 4:
        for i in range(n_rows):
            for j in range(count):
                store32(u, i * count + j, load32(source + i * stride, j))
    else:
        for i in range(n_rows):
            for j in range(count):
                store64(u, i * count + j, load64(source + i * stride, j))
    if told(row, FLAGS) & SWAPPED:
        turn_round(u, n_rows * count, size)
    return 0


@njit
def _kept(row, first_row, n, u, one):
    """Keep the values that are not zero; note in the mask which they are."""
    mask = told(row, MASK)
    bits = np.uint64(told(row, MASK_BITS))
    bit = first_row * told(row, COUNT)
    at = 0
    for i in range(n):
        value = load_like(u, i, one)
        is_kept = np.uint64(value != 0)
        bits |= is_kept << np.uint64(bit & 63)
        bit += 1
        if bit & 63 == 0:
            store64(mask, (bit >> 6) - 1, bits)
            bits = np.uint64(0)
        store_like(u, at, value, one)
        at += np.int64(is_kept)
    store64(row, MASK_BITS, bits)
    return at


@compiled_at(*_FOUR)
def _compact(row, first_row, n, u):
    """Leave zeros out; return how many values are kept."""
    if told(row, WIDTH) == WORD_BYTES:
        return _kept(row, first_row, n, u, ONE)
    return _kept(row, first_row, n, u, ONE32)


@compiled_at(*_FIVE)
def _subtract_reference(row, reference, first_row, n_rows, u):
    """Subtract the number of another field in the same row."""
    count = told(row, COUNT)
    size = told(reference, WIDTH)
    stride = told(reference, STRIDE)
    source = told(reference, ADDRESS) + first_row * stride
    flags = told(reference, FLAGS)
    for i in range(n_rows):
        subtracted = number_at(source + i * stride, size, flags)
        if told(row, WIDTH) == WORD_BYTES:
            for j in range(i * count, (i + 1) * count):
                store64(u, j, load64(u, j) - subtracted)
        else:
            for j in range(i * count, (i + 1) * count):
                store32(u, j, load32(u, j) - subtracted)
    return 0


@njit
def _lessened(row, n, u, one):
    """Leave small numbers: differences, or what is above the least. Note which bits are set."""
    flags = told(row, FLAGS)
    before = load_like(row + WORD_BYTES * PREVIOUS, 0, one)
    if flags & DELTA:
        for i in range(n):
            value = load_like(u, i, one)
            store_like(u, i, value - before, one)
            before = value
        store64(row, PREVIOUS, np.uint64(before))
    elif before != 0:
        for i in range(n):
            store_like(u, i, load_like(u, i, one) - before, one)
    unused = np.uint64(64 - 8 * told(row, WIDTH))
    if flags & ZIGZAG:
        for i in range(n):
            value = np.int64(np.uint64(load_like(u, i, one)) << unused) >> np.int64(unused)
            store_like(u, i, np.uint64((value << 1) ^ (value >> 63)), one)
    used = ALL_BITS >> unused
    seen = np.uint64(0)
    for i in range(n):
        value = load_like(u, i, one) & like(used, one)
        seen |= value
        store_like(u, i, value, one)
    store64(row, SEEN, seen)


@compiled_at(*_FOUR)
def _lessen(row, n, u, _unused):
    """Leave small numbers."""
    if told(row, WIDTH) == WORD_BYTES:
        _lessened(row, n, u, ONE)
    else:
        _lessened(row, n, u, ONE32)
    return 0


@compiled_at(*_FOUR)
def _least(row, n, u, least):
    """Return the least number of some values and of what is given."""
    size = told(row, WIDTH)
    if size == WORD_BYTES:
        for i in range(n):
            least = lesser(least, np.int64(load64(u, i)))
    else:
        unused = 64 - 8 * size
        for i in range(n):
            least = lesser(least, np.int64(load32(u, i)) << unused >> unused)
    return least


@compiled_at(*_FOUR)
def _put_planes(row, n_most, n, u):
    """Write the bytes of some values behind those of the values before."""
    done = told(row, N_VALUES)
    first = told(row, PLANES) + done
    k = told(row, N_PLANES)
    while k < 8 and np.uint64(told(row, SEEN)) >> np.uint64(8 * k) != 0:
        for i in range(done):  # the values before had no such byte
            store8(told(row, PLANES) + k * n_most, i, 0)
        k += 1
    store64(row, N_PLANES, k)
    for j in range(k):
        if told(row, WIDTH) == WORD_BYTES:
            for i in range(n):
                store8(first, i, load64(u, i) >> np.uint64(8 * j))
        else:
            for i in range(n):
                store8(first, i, load32(u, i) >> np.uint32(8 * j))
        first += n_most
    store64(row, N_VALUES, done + n)
    return 0


@njit
def _looks_random(plane, n, counts):
    """Say whether all bytes are about as frequent as in noise, which nothing compresses."""
    tested = lesser(n, _TESTED)
    if tested < 1024:
        return 0
    for i in range(256):
        store64(counts, i, 0)
    step = n // tested
    for i in range(tested):
        byte = np.int64(load8(plane, i * step))
        store64(counts, byte, told(counts, byte) + 1)
    total = 0
    for i in range(256):
        total += told(counts, i) * told(counts, i)
    expected = tested * tested // 256 + tested
    return np.int64(0.96 * expected < total < 1.04 * expected)


@compiled_at(*_FOUR)
def _put_bytes(row, n_rows, n_most, _unused):
    """Copy a field that is stored as it is."""
    count = told(row, COUNT)
    stride = told(row, STRIDE)
    source, to = told(row, ADDRESS), told(row, PLANES)
    seen = np.uint8(0)
    for i in range(n_rows):
        for j in range(count):
            value = load8(source + i * stride, j)
            seen |= value
            store8(to + i * count, j, value)
    store64(row, N_VALUES, n_most)
    store64(row, N_PLANES, np.int64(seen != 0))
    return 0


@compiled_at(*_FOUR)
def _note_random(row, n_most, counts, _unused):
    """Note which planes look random."""
    random = 0
    for j in range(told(row, N_PLANES)):
        plane = told(row, PLANES) + j * n_most
        random |= _looks_random(plane, told(row, N_VALUES), counts) << j
    store64(row, RANDOM, random)
    return 0


_KERNELS = (
    *(_take, _least, _compact, _subtract_reference),
    *(_lessen, _put_planes, _put_bytes, _note_random),
)
(_TAKE, _LEAST, _COMPACT, _SUBTRACT, _LESSEN, _PUT, _PUT_BYTES, _NOTE) = range(len(_KERNELS))
_ADDRESSES = np.array([kernel.address for kernel in _KERNELS], np.int64)


@njit
def _find_base(row, n_rows, u, kernels):
    """Note what the first difference is to, or the least of all values."""
    base = 0
    if told(row, FLAGS) & DELTA:
        call4(told(kernels, _TAKE), row, 0, 1, u)
        base = call4(told(kernels, _LEAST), row, 1, u, _MOST)
    elif told(row, FLAGS) & OFFSET:
        base = _MOST
        step = rows_at_once(told(row, COUNT))
        for first in range(0, n_rows, step):
            n = lesser(step, n_rows - first)
            call4(told(kernels, _TAKE), row, first, n, u)
            base = call4(told(kernels, _LEAST), row, n * told(row, COUNT), u, base)
    store64(row, BASE, base)
    store64(row, PREVIOUS, base)


@compiled(*(types.int64,) * 5)
def _encode_fields(rows, n_fields, n_rows, u, kernels):
    for field in range(n_fields):
        row = rows + field * ROW_BYTES
        if told(row, FLAGS) & SKIPPED:
            continue
        n_most = n_rows * told(row, COUNT)
        if told(row, WIDTH) == 1:
            call4(told(kernels, _PUT_BYTES), row, n_rows, n_most, 0)
        else:
            _find_base(row, n_rows, u, kernels)
            for column in (N_VALUES, N_PLANES, MASK_BITS):
                store64(row, column, 0)
            step = rows_at_once(told(row, COUNT))
            for first in range(0, n_rows, step):
                n_taken = lesser(step, n_rows - first)
                call4(told(kernels, _TAKE), row, first, n_taken, u)
                n = n_taken * told(row, COUNT)
                if told(row, FLAGS) & MASKED:
                    n = call4(told(kernels, _COMPACT), row, first, n, u)
                elif told(row, REFERENCE) >= 0:
                    reference = rows + told(row, REFERENCE) * ROW_BYTES
                    call5(told(kernels, _SUBTRACT), row, reference, first, n_taken, u)
                call4(told(kernels, _LESSEN), row, n, u, 0)
                call4(told(kernels, _PUT), row, n_most, n, u)
            if told(row, FLAGS) & MASKED and n_most & 63:
                store64(told(row, MASK), n_most >> 6, told(row, MASK_BITS))
        call4(told(kernels, _NOTE), row, n_most, u, 0)
    return 0


def encode_block(plan: Int64s, n_rows: int, scratch: Words) -> None:
    """Make the planes and masks of all fields of a plan.

    Plane j lies j times as many bytes behind the first as there are values at most, masked or not.
    `scratch` has as many words as a row of the largest field has values, or `AT_ONCE`.
    """
    at_scratch, at_kernels = address_of(scratch), address_of(_ADDRESSES)
    _encode_fields(address_of(plan), len(plan), n_rows, at_scratch, at_kernels)
