//! Sandboxed plugins: one component, one kind.
