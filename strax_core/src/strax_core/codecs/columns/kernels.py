"""Compiled loops between rows and planes of bytes. Importing this imports numba.

They work on addresses, since one compile then serves every dtype: **whoever calls them has checked
that all addresses and sizes lie within the arrays they are of**. A value has 2, 4 or 8 bytes; a
"plane" is byte j of many values, one after the other. `docs/format.md` tells what the filters do.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from strax_core.laws import compiled

# Columns of a plan, which has a row for each field of a block. The encoder fills N_VALUES to RANDOM,
# the decoder is given them. ADDRESS, STRIDE: of the field in rows; PLANES: of plane 0 for the
# encoder, of each plane for the decoder.
(ADDRESS, STRIDE, COUNT, WIDTH, FLAGS, REFERENCE, MASK, N_VALUES, N_PLANES, BASE, RANDOM) = range(
    11
)
DONE, PREVIOUS = 11, 12
PLANES = 16
PLAN_COLUMNS = PLANES + 8
MASKED, DELTA, ZIGZAG, OFFSET, SWAPPED, SIGNED, SKIPPED = 1, 2, 4, 8, 16, 32, 64
NO_REFERENCE = -1
FINE = -1

_PLAN = types.Array(types.int64, 2, "C")
_WORDS = types.Array(types.uint64, 1, "C")
_TESTED = 4096  # bytes of a plane, to tell whether it looks random
_ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
_1, _8, _255 = np.uint64(1), np.uint64(8), np.uint64(255)
_u8, _u16 = np.uint32(8), np.uint32(16)


def _load(kind: Any) -> Any:
    def typed(_context: Any, _address: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            pointer = ir.IntType(kind.bitwidth).as_pointer()
            return builder.load(builder.inttoptr(arguments[0], pointer), align=1)

        return kind(types.int64), code

    return intrinsic(typed)


_load8, _load16, _load32, _load64 = map(
    _load, (types.uint8, types.uint16, types.uint32, types.uint64)
)


@intrinsic  # type: ignore[untyped-decorator]
def _store(_context: Any, _address: Any, value: Any) -> Any:
    """Store a value at an address, which need not be a multiple of anything."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(signature.args[1].bitwidth).as_pointer()
        builder.store(arguments[1], builder.inttoptr(arguments[0], pointer), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, value), code


@njit
def _value(address, size, is_swapped):  # type: ignore[no-untyped-def]
    """Return the bits of a value, the unused ones zero."""
    if size == 2:
        value = np.uint64(_load16(address))
    elif size == 4:
        value = np.uint64(_load32(address))
    else:
        value = _load64(address)
    if is_swapped:
        return _swapped(value, size)
    return value


@njit
def _swapped(value, size):  # type: ignore[no-untyped-def]
    """Reverse the order of the bytes of a value."""
    result = np.uint64(0)
    for _ in range(size):
        result = (result << _8) | (value & _255)
        value >>= _8
    return result


@njit
def _signed(value, size):  # type: ignore[no-untyped-def]
    """Return the bits of a value as a number with a sign."""
    unused = np.int64(64 - 8 * size)
    return (np.int64(value) << unused) >> unused


@njit
def _reference(plan, field, row):  # type: ignore[no-untyped-def]
    """Return the value of a scalar integer field, as it stands in the rows."""
    size = plan[field, WIDTH]
    address = plan[field, ADDRESS] + row * plan[field, STRIDE]
    value = _value(address, size, plan[field, FLAGS] & SWAPPED)
    if plan[field, FLAGS] & SIGNED:
        return np.uint64(_signed(value, size))
    return value


@njit
def _ones(word):  # type: ignore[no-untyped-def]
    """Count the bits that are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit
def _ones_between(mask, first, end):  # type: ignore[no-untyped-def]
    """Count the bits set from bit `first` to bit `end` of a mask with 8 spare bytes behind it."""
    n = 0
    bit = first
    while bit < end:
        shift = bit & 7
        taken = min(64 - shift, end - bit)
        word = _load64(mask + (bit >> 3)) >> np.uint64(shift)
        if taken < 64:
            word &= (np.uint64(1) << np.uint64(taken)) - np.uint64(1)
        n += _ones(word)
        bit += taken
    return n


# --- decoding ------------------------------------------------------------------------------------


@njit
def _join_planes(u, plan, field, at, n):  # type: ignore[no-untyped-def]
    """Put values together from their bytes; a plane that is not stored is zero."""
    k = plan[field, N_PLANES]
    p0, p1 = plan[field, PLANES] + at, plan[field, PLANES + 1] + at
    p2, p3 = plan[field, PLANES + 2] + at, plan[field, PLANES + 3] + at
    if k == 1:
        for i in range(n):
            u[i] = np.uint64(_load8(p0 + i))
    elif k == 4:
        for i in range(n):
            low = np.uint32(_load8(p0 + i)) | np.uint32(np.uint32(_load8(p1 + i)) << _u8)
            high = np.uint32(_load8(p2 + i)) | np.uint32(np.uint32(_load8(p3 + i)) << _u8)
            u[i] = np.uint64(low | np.uint32(high << _u16))
    else:
        for i in range(n):
            u[i] = 0
        for j in range(k):
            p, shift = plan[field, PLANES + j] + at, np.uint64(8 * j)
            for i in range(n):
                u[i] |= np.uint64(_load8(p + i)) << shift


@njit
def _add_differences(u, plan, field, n):  # type: ignore[no-untyped-def]
    flags = plan[field, FLAGS]
    if flags & ZIGZAG:
        for i in range(n):
            u[i] = (u[i] >> _1) ^ (np.uint64(0) - (u[i] & _1))
    if flags & DELTA:
        value = np.uint64(plan[field, PREVIOUS])
        for i in range(n):
            value += u[i]
            u[i] = value
        plan[field, PREVIOUS] = np.int64(value)
    elif plan[field, BASE] != 0:
        base = np.uint64(plan[field, BASE])
        for i in range(n):
            u[i] += base


@njit
def _add_reference(u, plan, field, first_row, n_rows):  # type: ignore[no-untyped-def]
    count = plan[field, COUNT]
    reference = plan[field, REFERENCE]
    at = 0
    for row in range(first_row, first_row + n_rows):
        added = _reference(plan, reference, row)
        n = count
        if plan[field, FLAGS] & MASKED:
            n = _ones_between(plan[field, MASK], row * count, (row + 1) * count)
        for i in range(at, at + n):
            u[i] += added
        at += n


@njit
def _spread(u, v, mask, first, n):  # type: ignore[no-untyped-def]
    """Put values where the mask has ones, from bit `first` on, and zeros elsewhere."""
    at = 0
    done = 0
    while done < n:
        shift = (first + done) & 7
        taken = min(64 - shift, n - done)
        word = _load64(mask + ((first + done) >> 3)) >> np.uint64(shift)
        if taken == 64 and word == _ALL_BITS:
            for i in range(64):
                v[done + i] = u[at + i]
            at += 64
        else:
            for i in range(done, done + taken):
                bit = word & _1
                v[i] = u[at] * bit
                at += np.int64(bit)
                word >>= _1
        done += taken


@njit
def _put(v, plan, field, first_row, n_rows):  # type: ignore[no-untyped-def]
    """Write values into the rows."""
    size = plan[field, WIDTH]
    count = plan[field, COUNT]
    stride = plan[field, STRIDE]
    to = plan[field, ADDRESS] + first_row * stride
    if plan[field, FLAGS] & SWAPPED:
        for i in range(n_rows * count):
            v[i] = _swapped(v[i], size)
    if stride == count * size:  # all rows lie together, as one long row
        count *= n_rows
        n_rows = 1
    if count == 1:
        if size == 2:
            for row in range(n_rows):
                _store(to + row * stride, np.uint16(v[row]))
        elif size == 4:
            for row in range(n_rows):
                _store(to + row * stride, np.uint32(v[row]))
        else:
            for row in range(n_rows):
                _store(to + row * stride, v[row])
        return
    for row in range(n_rows):
        at, first = to + row * stride, row * count
        if size == 2:
            for i in range(count):
                _store(at + i * 2, np.uint16(v[first + i]))
        elif size == 4:
            for i in range(count):
                _store(at + i * 4, np.uint32(v[first + i]))
        else:
            for i in range(count):
                _store(at + i * 8, v[first + i])


@njit
def _copy_bytes(plan, field, first_row, n_rows):  # type: ignore[no-untyped-def]
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
                _store(to + row * stride + i, np.uint8(0))
        elif count == 1:
            _store(to + row * stride, _load8(source + row))
        else:
            for i in range(count):
                _store(to + row * stride + i, _load8(source + row * count + i))


@njit
def _decode_tile(plan, field, first_row, n_rows, u, v):  # type: ignore[no-untyped-def]
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
        n_stored = _ones_between(plan[field, MASK], first, first + n)
    if at + n_stored > plan[field, N_VALUES]:
        return False
    plan[field, DONE] = at + n_stored
    _join_planes(u, plan, field, at, n_stored)
    _add_differences(u, plan, field, n_stored)
    if plan[field, REFERENCE] >= 0:
        _add_reference(u, plan, field, first_row, n_rows)
    if is_masked:
        u[n_stored] = 0
        _spread(u, v, plan[field, MASK], first, n)
        u = v
    _put(u, plan, field, first_row, n_rows)
    return True


@compiled(_PLAN, types.int64, types.int64, _WORDS)
def decode_block(plan, n_rows, tile_rows, scratch):  # type: ignore[no-untyped-def]
    """Decode all fields of a plan, tile by tile; the field whose mask does not fit, else `FINE`.

    A tile of rows stays in the processor's cache while its fields are written one after the other.
    `scratch` has twice as many words as a tile of the largest field has values, and 2 more.
    """
    half = len(scratch) // 2
    for field in range(len(plan)):
        plan[field, DONE] = 0
        plan[field, PREVIOUS] = plan[field, BASE]
    for row in range(0, n_rows, tile_rows):
        n = min(tile_rows, n_rows - row)
        for field in range(len(plan)):
            if not _decode_tile(plan, field, row, n, scratch[:half], scratch[half:]):
                return field
    for field in range(len(plan)):
        if plan[field, DONE] != plan[field, N_VALUES]:
            return field
    return FINE


# --- encoding ------------------------------------------------------------------------------------


@njit
def _take(u, plan, field, n_rows):  # type: ignore[no-untyped-def]
    """Read the values out of the rows."""
    size = plan[field, WIDTH]
    count = plan[field, COUNT]
    stride = plan[field, STRIDE]
    source = plan[field, ADDRESS]
    is_swapped = plan[field, FLAGS] & SWAPPED
    for row in range(n_rows):
        at, first = source + row * stride, row * count
        if is_swapped or size == 8:
            for i in range(count):
                u[first + i] = _value(at + i * size, size, is_swapped)
        elif size == 2:
            for i in range(count):
                u[first + i] = np.uint64(_load16(at + i * 2))
        else:
            for i in range(count):
                u[first + i] = np.uint64(_load32(at + i * 4))


@njit
def _compact(u, plan, field, n_rows):  # type: ignore[no-untyped-def]
    """Keep the values that are not zero, less the reference; note in the mask which they are."""
    count = plan[field, COUNT]
    is_masked = plan[field, FLAGS] & MASKED
    reference = plan[field, REFERENCE]
    if not is_masked and reference < 0:
        return n_rows * count
    if is_masked:
        n = n_rows * count
        for byte in range((n + 7) // 8):
            bits = np.int64(0)
            for i in range(min(8, n - 8 * byte)):
                bits |= np.int64(u[8 * byte + i] != 0) << i
            _store(plan[field, MASK] + byte, np.uint8(bits))
    at = 0
    subtracted = np.uint64(0)
    for row in range(n_rows):
        if reference >= 0:
            subtracted = _reference(plan, reference, row)
        for i in range(row * count, (row + 1) * count):
            value = u[i]
            u[at] = value - subtracted
            at += np.int64((not is_masked) | (value != 0))
    return at


@njit
def _subtract(u, plan, field, n):  # type: ignore[no-untyped-def]
    """Leave small numbers: differences, or what is above the least."""
    size = plan[field, WIDTH]
    flags = plan[field, FLAGS]
    plan[field, BASE] = 0
    if n == 0:
        return
    if flags & DELTA:
        plan[field, BASE] = _signed(u[0], size)
        for i in range(n - 1, 0, -1):
            u[i] -= u[i - 1]
        u[0] = 0
    elif flags & OFFSET:
        least = _signed(u[0], size)
        for i in range(n):
            least = min(least, _signed(u[i], size))
        plan[field, BASE] = least
        base = np.uint64(least)
        for i in range(n):
            u[i] -= base
    if flags & ZIGZAG:
        for i in range(n):
            value = _signed(u[i], size)
            u[i] = np.uint64((value << 1) ^ (value >> 63))
    used = _ALL_BITS >> np.uint64(64 - 8 * size)
    for i in range(n):
        u[i] &= used


@njit
def _looks_random(plane, n):  # type: ignore[no-untyped-def]
    """Say whether all bytes are about as frequent as in noise, which nothing compresses."""
    tested = min(n, _TESTED)
    if tested < 1024:
        return False
    counts = np.zeros(256, np.int64)
    step = n // tested
    for i in range(tested):
        counts[_load8(plane + i * step)] += 1
    total = 0
    for i in range(256):
        total += counts[i] * counts[i]
    expected = tested * tested // 256 + tested
    return 0.96 * expected < total < 1.04 * expected


@njit
def _encode_values(plan, field, n_rows, u):  # type: ignore[no-untyped-def]
    _take(u, plan, field, n_rows)
    n = _compact(u, plan, field, n_rows)
    _subtract(u, plan, field, n)
    seen = np.uint64(0)
    for i in range(n):
        seen |= u[i]
    k = 0
    while k < 8 and seen >> np.uint64(8 * k) != 0:
        plane, shift = plan[field, PLANES] + k * n, np.uint64(8 * k)
        for i in range(n):
            _store(plane + i, np.uint8(u[i] >> shift))
        k += 1
    plan[field, N_VALUES] = n
    plan[field, N_PLANES] = k


@njit
def _encode_bytes(plan, field, n_rows):  # type: ignore[no-untyped-def]
    count = plan[field, COUNT]
    source, to = plan[field, ADDRESS], plan[field, PLANES]
    seen = np.uint8(0)
    for row in range(n_rows):
        for i in range(count):
            value = _load8(source + row * plan[field, STRIDE] + i)
            seen |= value
            _store(to + row * count + i, value)
    plan[field, N_VALUES] = n_rows * count
    plan[field, N_PLANES] = np.int64(seen != 0)


@compiled(_PLAN, types.int64, _WORDS)
def encode_block(plan, n_rows, scratch):  # type: ignore[no-untyped-def]
    """Make the planes and masks of all fields of a plan.

    `scratch` has as many words as the largest field of the block has values.
    """
    for field in range(len(plan)):
        if plan[field, FLAGS] & SKIPPED:
            continue
        if plan[field, WIDTH] == 1:
            _encode_bytes(plan, field, n_rows)
        else:
            _encode_values(plan, field, n_rows, scratch)
        n = plan[field, N_VALUES]
        random = 0
        for j in range(plan[field, N_PLANES]):
            random |= np.int64(_looks_random(plan[field, PLANES] + j * n, n)) << j
        plan[field, RANDOM] = random
