"""A process that imports: `python -m benchmarks.imports 'import dagster'`."""

import sys

if __name__ == "__main__":
    exec(sys.argv[1])
