"""Tables of docs/benchmarks.md."""
