"""Kept for one release: the bootstrap cells of older notebooks ask for `dualad_lib.runs.environment`."""
