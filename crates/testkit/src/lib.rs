//! Drives the real binary in tests. For now: only the `fixture` binary beside it.
