"""Students' attempts, from the grader's API to a table, the day's figures, a sheet and a letter."""

import atexit
import gc

# An import makes many objects and no garbage. By default Python's collector looks for garbage
# after each 700 new objects, which took a fifth of the time until all definitions were imported.
gc.set_threshold(50_000, 20, 20)
# At exit the system takes the memory back whole. Without this, the collector would first take
# every object apart, for 0.4 s. Our work at exit is registered with `atexit`; none is left to it.
atexit.register(gc.freeze)
