"""``python -m metricopt`` is the command line."""

from metricopt.cli import main

if __name__ == "__main__":
    main()
