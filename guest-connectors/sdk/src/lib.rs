//! Write a kheish connector in Rust.
//!
//! A connector is a WebAssembly component that turns what a platform sends into events, and sends what runs answer. The host
//! verifies the caller before any code of the connector runs, makes the events durable and keeps every secret to itself; the
//! connector reads a request and says what it means:
//!
//! 1. implement [`Connector`]: the [`Manifest`] says the kind, its settings and how callers are verified;
//! 2. implement [`Ingress`]: one request in, an [`Answer`] or a [`Refusal`] out;
//! 3. [`export_ingress!`] makes the crate (a `cdylib`) a component;
//! 4. [`Delivery`] with [`export_delivery!`] beside it makes connectors of the kind reply targets;
//! 5. [`Reconciliation`] with [`export_reconciliation!`] lets the host ask the platform whether an interrupted delivery arrived;
//! 6. [`http`] talks to the platform, where the manifest's [`Destination`]s allow it;
//! 7. [`Attachments`] fetches files that events name, [`Polling`] asks for events, [`Activation`] registers the connector,
//!    [`Presence`] shows that an answer is on its way: each with a macro of its own, as [`Delivery`].
//!
//! Each call runs in a fresh instance: statics start empty, and what must survive goes into [`key_value`]. The standard
//! library is there, but a component has no clock, no environment, no files and no network of its own. A panic is a
//! trap: its message is logged first, and nothing of the call is kept.

mod answer;
#[doc(hidden)]
pub mod bindings;
mod caller;
mod connector;
mod delivery;
mod event;
mod glue;
pub mod http;
pub mod json;
pub mod log;
pub mod manifest;
mod polling;
mod refusal;

pub use answer::Answer;
pub use bindings::{
    imports::kheish::connector::{
        key_value, secrets,
        types::{
            Artifact, Event, Failure, FailureKind, Header, HttpRequest, HttpResponse, InlineFile, InputPart, Part,
            Receipt, Relation, RemoteFile, ReplyTarget, SessionKey, Settle,
        },
    },
    ingress::exports::kheish::connector::ingress::Refusal,
    reconciliation::exports::kheish::connector::reconciliation::Finding,
};
pub use connector::{
    Activation, Attachments, Connector, Context, Delivery, Ingress, Polling, Presence, Reconciliation,
};
pub use delivery::Outgoing;
#[doc(hidden)]
pub use glue::Exported;
pub use glue::settings_text;
pub use manifest::{Destination, LengthUnit, Manifest, UnknownPolicy};
pub use polling::Batch;

/// The standard library's allocator in a version that begins with the memory that is there: an instance lives for one call,
/// and memory that need not grow costs the host no system call.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Makes the crate a component of the world `ingress-connector`, served by a type that implements [`Ingress`].
///
/// Outside of WebAssembly it expands to nothing, so that the crate's tests run natively.
#[macro_export]
macro_rules! export_ingress {
    ($connector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::Exported<$connector>;
    $crate::bindings::ingress::export_ingress_world!(Component with_types_in $crate::bindings::ingress);
        };
    };
}

/// Makes connectors of the kind reply targets: exports the [`Delivery`] of a type that [`export_ingress!`] serves too.
///
/// Outside of WebAssembly it expands to nothing, so that the crate's tests run natively.
#[macro_export]
macro_rules! export_delivery {
    ($connector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::Exported<$connector>;
    $crate::bindings::delivery::export_delivery_world!(Component with_types_in $crate::bindings::delivery);
        };
    };
}

/// Lets the host fetch files that events name: exports the [`Attachments`] of a type that [`export_ingress!`] serves too.
///
/// Outside of WebAssembly it expands to nothing, so that the crate's tests run natively.
#[macro_export]
macro_rules! export_attachments {
    ($connector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::Exported<$connector>;
    $crate::bindings::attachments::export_attachments_world!(Component with_types_in $crate::bindings::attachments);
        };
    };
}

/// Lets the host poll for events: exports the [`Polling`] of a type that [`export_ingress!`] serves too.
///
/// Outside of WebAssembly it expands to nothing, so that the crate's tests run natively.
#[macro_export]
macro_rules! export_polling {
    ($connector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::Exported<$connector>;
    $crate::bindings::polling::export_polling_world!(Component with_types_in $crate::bindings::polling);
        };
    };
}

/// Lets the host register the connector at its platform: exports the [`Activation`] of a type that [`export_ingress!`] serves too.
///
/// Outside of WebAssembly it expands to nothing, so that the crate's tests run natively.
#[macro_export]
macro_rules! export_activation {
    ($connector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::Exported<$connector>;
    $crate::bindings::activation::export_activation_world!(Component with_types_in $crate::bindings::activation);
        };
    };
}

/// Lets the host look interrupted deliveries up: exports the [`Reconciliation`] of a type that [`export_delivery!`] serves too.
///
/// Outside of WebAssembly it expands to nothing, so that the crate's tests run natively.
#[macro_export]
macro_rules! export_reconciliation {
    ($connector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::Exported<$connector>;
    $crate::bindings::reconciliation::export_reconciliation_world!(Component with_types_in $crate::bindings::reconciliation);
        };
    };
}

/// Lets the host show that an answer is on its way: exports the [`Presence`] of a type that [`export_delivery!`] serves too.
///
/// Outside of WebAssembly it expands to nothing, so that the crate's tests run natively.
#[macro_export]
macro_rules! export_presence {
    ($connector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::Exported<$connector>;
    $crate::bindings::presence::export_presence_world!(Component with_types_in $crate::bindings::presence);
        };
    };
}
