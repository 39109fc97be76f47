//! One call: a store, an instance, bounds on everything, and a name for each way in which it can fail.

use std::{sync::Arc, time::Duration};

use tokio::{sync::SemaphorePermit, time::timeout};
use wasmtime::{
    PoolConcurrencyLimitError, Store, Trap, UpdateDeadline,
    component::{Instance, InstancePre, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{
    EngineSettings, WasmEngine,
    host::{Effects, HostFailure, http::Network, stdio},
    limits::{LogBudget, MemoryExceeded, MemoryLimit},
};
use crate::connectors::{Context, Fault};

/// Handles to host objects that one call may hold.
const HANDLES: usize = 10_000;

/// Turns that a call computes through at full pace.
const PATIENCE: u32 = 3;

/// The pause between further turns: a call that goes on computing gives way to those that do not.
const GIVE_WAY: Duration = Duration::from_millis(50);

/// What a store holds: whose call it is, and what it has used and said so far.
pub(super) struct State {
    /// None while a plugin describes itself or checks settings: then it can do nothing.
    pub(super) context: Option<Arc<Context>>,
    /// None while somebody waits: then it can make no request.
    pub(super) network: Option<Network>,
    /// Whether the host let the guest wait since it last computed.
    pub(super) waited: bool,
    pub(super) effects: Effects,
    pub(super) log: LogBudget,
    /// The last line that the guest logged at error level; with a trap it is the reason.
    pub(super) last_error: Option<String>,
    pub(super) table: ResourceTable,
    memory: MemoryLimit,
    wasi: Option<Box<WasiCtx>>,
}

impl State {
    fn new(context: Option<Arc<Context>>, network: Option<Network>, settings: &EngineSettings) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self {
            context,
            network,
            waited: false,
            effects: Effects::default(),
            log: LogBudget::new(settings.log_bytes),
            last_error: None,
            table,
            memory: MemoryLimit::new(settings.memory_bytes),
            wasi: None,
        }
    }

    /// Who logs, for the log.
    pub(super) fn who(&self) -> String {
        self.context
            .as_ref()
            .map_or_else(|| "a plugin that is being loaded".to_owned(), |context| context.connector.to_string())
    }
}

impl WasiView for State {
    /// Made when a guest first asks: small guests never do.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: self.wasi.get_or_insert_with(|| Box::new(stdio::context())), table: &mut self.table }
    }
}

/// A place among the calls in flight.
pub(super) struct Place<'e> {
    _engine: SemaphorePermit<'e>,
    _connector: SemaphorePermit<'e>,
}

/// Which of the two sets of places a call takes one of.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// A caller waits.
    In,
    /// A delivery, which may take long.
    Out,
}

impl WasmEngine {
    /// Waits for a place, first among the connector's own calls, so that one connector's queue is nobody else's.
    pub(super) async fn admit<'e>(&'e self, context: &'e Context, way: Way) -> Result<Place<'e>, Fault> {
        let (own, all) = match way {
            Way::In => (&context.permits, &self.calls),
            Way::Out => (&context.delivery_permits, &self.deliveries),
        };
        let places = async {
            let connector = own.acquire().await.ok()?;
            let engine = all.acquire().await.ok()?;
            Some(Place { _engine: engine, _connector: connector })
        };
        match timeout(Duration::from_millis(self.settings.queue_timeout_ms), places).await {
            Ok(Some(place)) => Ok(place),
            _ => Err(Fault::Overloaded),
        }
    }

    /// Makes an instance and hands it to `work` within the deadline. Store and instance are gone afterwards, whatever happened.
    pub(super) async fn call<T>(
        &self,
        plugin: &InstancePre<State>,
        context: Option<Arc<Context>>,
        deadline_ms: u64,
        work: impl AsyncFnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<T>,
    ) -> Result<(T, State), Fault> {
        let state = State::new(context, None, &self.settings);
        let (answer, state) = self.run(plugin, state, deadline_ms, work).await;
        Ok((answer?, state))
    }

    /// The same for a call that may make requests. What it used comes back even where it failed.
    pub(super) async fn call_out<T>(
        &self,
        plugin: &InstancePre<State>,
        context: Arc<Context>,
        deadline_ms: u64,
        work: impl AsyncFnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<T>,
    ) -> (Result<T, Fault>, State) {
        let network = Network::new(Arc::clone(&self.outside), Duration::from_millis(deadline_ms));
        let state = State::new(Some(context), Some(network), &self.settings);
        self.run(plugin, state, deadline_ms, work).await
    }

    /// The same for a poll: its requests may take as long as it may.
    pub(super) async fn call_poll<T>(
        &self,
        plugin: &InstancePre<State>,
        context: Arc<Context>,
        work: impl AsyncFnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<T>,
    ) -> (Result<T, Fault>, State) {
        let deadline_ms = self.settings.poll_deadline_ms;
        let network = Network::new(Arc::clone(&self.outside_of_polls), Duration::from_millis(deadline_ms));
        let state = State::new(Some(context), Some(network), &self.settings);
        self.run(plugin, state, deadline_ms, work).await
    }

    /// The same for a sign that an answer is on its way: its requests take no place from others of the connector.
    pub(super) async fn call_aside<T>(
        &self,
        plugin: &InstancePre<State>,
        context: Arc<Context>,
        work: impl AsyncFnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<T>,
    ) -> (Result<T, Fault>, State) {
        let deadline_ms = self.settings.sign_deadline_ms;
        let network = Network::new(Arc::clone(&self.outside), Duration::from_millis(deadline_ms)).aside();
        let state = State::new(Some(context), Some(network), &self.settings);
        self.run(plugin, state, deadline_ms, work).await
    }

    async fn run<T>(
        &self,
        plugin: &InstancePre<State>,
        state: State,
        deadline_ms: u64,
        work: impl AsyncFnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<T>,
    ) -> (Result<T, Fault>, State) {
        let _ticking = self.ticker.run();
        let mut store = self.store(state);
        let called = async {
            let instance = plugin.instantiate_async(&mut store).await?;
            work(&mut store, &instance).await
        };
        let called = timeout(Duration::from_millis(deadline_ms), called).await;
        let state = closed(store);
        let answer = match called {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(classify(error, &state)),
            Err(_) => Err(Fault::Deadline(deadline_ms)),
        };
        (answer, state)
    }

    fn store(&self, state: State) -> Store<State> {
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.settings.result_bytes);
        store.set_max_component_handles(HANDLES);
        store.set_epoch_deadline(1);
        let mut turns = 0;
        store.epoch_deadline_callback(move |mut store| {
            // The host let it wait, and it has only just begun to compute again.
            if std::mem::take(&mut store.data_mut().waited) {
                return Ok(UpdateDeadline::Continue(1));
            }
            turns += 1;
            // Not the engine's own yield: that one is woken first again, so that two busy guests could hold a thread.
            Ok(if turns <= PATIENCE {
                UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
            } else {
                UpdateDeadline::YieldCustom(1, Box::pin(tokio::time::sleep(GIVE_WAY)))
            })
        });
        store
    }
}

/// Ends a store and says what it did not write.
fn closed(store: Store<State>) -> State {
    let state = store.into_data();
    if state.log.dropped() > 0 {
        let (who, dropped) = (state.who(), state.log.dropped());
        tracing::warn!(
            connector = who,
            dropped,
            "{who} logged more than guests.log_bytes allows in one call; {dropped} lines were dropped"
        );
    }
    state
}

fn classify(error: wasmtime::Error, state: &State) -> Fault {
    if let Some(exceeded) = error.downcast_ref::<MemoryExceeded>() {
        return Fault::Memory { asked: exceeded.asked, limit: exceeded.limit };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        tracing::error!(
            "guests.concurrent_calls and guests.concurrent_deliveries let in more than the pool has slots for: {error:#}"
        );
        return Fault::Overloaded;
    }
    match error.downcast::<HostFailure>() {
        Ok(HostFailure(reason)) => Fault::Host(reason),
        Err(error) => Fault::Trap(reason(&error, state)),
    }
}

fn reason(error: &wasmtime::Error, state: &State) -> String {
    let trap = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    match &state.last_error {
        Some(said) => format!("{trap}; it said: {said}"),
        None => trap,
    }
}
