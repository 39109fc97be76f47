//! What one call may use of the host: memory, and lines in the log.

use wasmtime::ResourceLimiter;

/// Table elements of one instance, all its tables together.
const TABLE_ELEMENTS: usize = 100_000;

/// Lines that one call may log.
const LOG_LINES: usize = 1_000;

/// The guest asked for more memory than it may have.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("asked for {asked} bytes of memory, the limit is {limit}")]
pub(super) struct MemoryExceeded {
    pub(super) asked: usize,
    pub(super) limit: usize,
}

/// Memory of one store. Growth beyond the limit is a trap that says so, rather than a failed allocation that the guest
/// reports as `unreachable`.
pub(super) struct MemoryLimit {
    limit: usize,
    memory: usize,
    elements: usize,
}

impl MemoryLimit {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, memory: 0, elements: 0 }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let asked = self.memory.saturating_add(desired.saturating_sub(current));
        if asked > self.limit {
            return Err(MemoryExceeded { asked, limit: self.limit }.into());
        }
        self.memory = asked;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.elements = self.elements.saturating_add(desired.saturating_sub(current));
        Ok(self.elements <= TABLE_ELEMENTS)
    }
}

/// What is left of a call's share of the log.
pub(super) struct LogBudget {
    bytes: usize,
    lines: usize,
    dropped: u64,
}

impl LogBudget {
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes, lines: LOG_LINES, dropped: 0 }
    }

    /// Whether a line of this length may still be written; counts it either way.
    pub(super) fn spend(&mut self, bytes: usize) -> bool {
        if self.lines == 0 || bytes > self.bytes {
            self.dropped += 1;
            return false;
        }
        self.lines -= 1;
        self.bytes -= bytes;
        true
    }

    /// Lines that were not written.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_share_one_limit_and_the_excess_is_named() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.memory_growing(0, 40, None).unwrap());
        let refused = limit.memory_growing(60, 61, None).unwrap_err();
        assert_eq!(refused.downcast_ref::<MemoryExceeded>().map(|exceeded| exceeded.asked), Some(101));
        assert!(!limit.memory_growing(60, 70, Some(65)).unwrap());
    }

    #[test]
    fn lines_beyond_the_budget_are_counted() {
        let mut budget = LogBudget::new(10);
        assert!(budget.spend(6));
        assert!(!budget.spend(5));
        assert!(budget.spend(4));
        assert_eq!(budget.dropped(), 1);
    }
}
