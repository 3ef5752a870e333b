"""Pure steps of the data: chunk, pack, price, join, verify, rows. No network, clock, disk, Beam."""
