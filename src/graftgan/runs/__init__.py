"""From an experiment to its run: build, train, resume, record, score."""
