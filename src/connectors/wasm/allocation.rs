//! The engine's configuration, and how memory for instances is allocated: a pool where the machine grants the address
//! space for one, else something slower, said aloud.

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use super::EngineSettings;

/// Slots beyond the calls in flight: for calls that are being dropped, and for plugins that describe themselves.
const HEADROOM: u32 = 16;

/// How memory for instances is allocated, the fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allocation {
    /// Slots with 4 GiB of address space each, so that compiled code needs no bounds checks.
    Pooling,
    /// Slots as large as an instance's memory may get; compiled code checks bounds.
    SmallPooling,
    /// Mapped for each call.
    OnDemand,
}

impl Allocation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pooling => "pooling",
            Self::SmallPooling => "pooling with small reservations",
            Self::OnDemand => "on demand",
        }
    }
}

/// Builds the engine with the first allocation that this machine grants.
pub(super) fn build(settings: &EngineSettings) -> anyhow::Result<(Engine, Allocation)> {
    for allocation in [Allocation::Pooling, Allocation::SmallPooling] {
        match Engine::new(&configuration(settings, allocation)) {
            Ok(engine) => return Ok((engine, allocation)),
            Err(error) => tracing::warn!(
                %error,
                "guests cannot be given memory by {} (a limit on address space, vm.overcommit_memory or vm.max_map_count): {error:#}",
                allocation.name()
            ),
        }
    }
    tracing::warn!("guest memory is mapped for each call, which is slow when many calls are in flight");
    Ok((Engine::new(&configuration(settings, Allocation::OnDemand))?, Allocation::OnDemand))
}

fn configuration(settings: &EngineSettings, allocation: Allocation) -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        // The contract is synchronous. What it does not need is off: less that a hostile component can reach.
        .concurrency_support(false)
        .wasm_gc(false)
        .wasm_exceptions(false)
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_stack_switching(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20))
        .coredump_on_trap(false);
    if allocation == Allocation::SmallPooling {
        config.memory_reservation(settings.memory_bytes as u64);
    }
    if allocation != Allocation::OnDemand {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)));
    }
    config
}

/// Everything follows from how many calls may be in flight: a full pool is an error, so the queue stands before it.
fn pool(settings: &EngineSettings) -> PoolingAllocationConfig {
    let calls = settings.concurrent_calls.saturating_add(settings.concurrent_deliveries);
    let calls = calls.saturating_add(settings.concurrent_polls);
    let calls = calls.saturating_add(settings.concurrent_downloads).saturating_add(settings.concurrent_signs);
    let calls = u32::try_from(calls).unwrap_or(u32::MAX / 64).saturating_add(HEADROOM);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_stacks(calls)
        // Guests in Python or JavaScript are many core modules each.
        .total_core_instances(calls.saturating_mul(16))
        .total_memories(calls.saturating_mul(2))
        .total_tables(calls.saturating_mul(4))
        .max_core_instances_per_component(60)
        .max_memories_per_component(10)
        .max_tables_per_component(40)
        .max_component_instance_size(16 << 20)
        .max_core_instance_size(16 << 20)
        .table_elements(40_000)
        .max_memory_size(settings.memory_bytes)
        .linear_memory_keep_resident(settings.keep_resident_bytes)
        .table_keep_resident(settings.keep_resident_bytes.min(64 << 10));
    // `pagemap_scan` would find the touched pages by itself, but in this version it overlooks those that were swapped out,
    // and the next instance in the slot would read them.
    pool
}
