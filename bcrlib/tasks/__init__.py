"""The tasks: what store, experiments, notebooks and reports ask of each, in modules with the same names."""
