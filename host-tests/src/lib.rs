//! Drives the real `kheishd` binary.
