"""Coverage-guided fuzzing (docs/fuzzing.md). Never installed."""
