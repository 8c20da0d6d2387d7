"""What scripts/bench.py consists of: models, engines, their processes, measuring, the report."""
