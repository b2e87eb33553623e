"""Plans: arrays of numbers that tell a compiled loop what to do with each field of a block."""

# Columns of a plan, which has a row for each field of a block. ADDRESS and STRIDE are of the field
# in rows; PLANES is of plane 0 for the encoder, of each plane for the decoder.
(ADDRESS, STRIDE, COUNT, WIDTH, FLAGS, REFERENCE, MASK) = range(7)
(N_VALUES, N_PLANES, BASE, RANDOM) = range(7, 11)
"""Findings of the encoder, which the decoder is told; `RANDOM`: planes that look like noise."""
DONE, PREVIOUS, MASK_BITS, SEEN = range(11, 15)
"""Progress of the work on a block."""
PLANES = 16
PLAN_COLUMNS = PLANES + 8
MASKED, DELTA, ZIGZAG, OFFSET, SWAPPED, SIGNED, SKIPPED = 1, 2, 4, 8, 16, 32, 64
FINE = -1
AT_ONCE = 1024
"""Values that are worked on at once: they and their results stay in the fastest cache."""
