//! What programs behind connectors may fetch, and what they have fetched: who, which, until when. Never a value.

use serde::Serialize;
use utoipa::ToSchema;

/// Whoever fetches credentials: the program of one connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CredentialSubject)]
pub struct Subject {
    /// `connector:` and the connector's name.
    pub subject_id: String,
    /// The connector.
    pub connector: String,
    /// What its program fetches under, as the audit file names it; absent when it may not, or none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub grant_id: Option<String>,
    /// When its program was started with that, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub granted_at_ms: Option<i64>,
    /// Its leases, also some of those that have ended, the newest last.
    pub leases: Vec<Lease>,
}

/// A credential that a program has fetched: until when it may use it before it asks again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CredentialLease)]
pub struct Lease {
    /// Its name, here and in the audit file.
    pub lease_id: String,
    /// Who has it.
    pub subject_id: String,
    /// The life of the program that has it.
    pub grant_id: String,
    /// What the program calls the credential.
    pub env_key: String,
    /// The stored secret.
    pub slot_id: String,
    /// How it stands.
    pub state: LeaseState,
    /// When the credential was fetched first, in milliseconds since 1970.
    pub issued_at_ms: i64,
    /// When it was fetched last, in milliseconds since 1970.
    pub renewed_at_ms: i64,
    /// When it ends, or would have ended, in milliseconds since 1970.
    pub expires_at_ms: i64,
    /// When it was revoked, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revoked_at_ms: Option<i64>,
    /// Why it was revoked: `operator`, `rotated`, `changed`, `stopped`, `restarted` or `ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CredentialLeaseState)]
pub enum LeaseState {
    /// The credential may be used, and a fetch before the end renews it.
    Active,
    /// Its end came and nobody had fetched again.
    Expired,
    /// It was ended before.
    Revoked,
}

/// Why a subject was not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRevoked {
    /// No connector starts a program under that name.
    Unknown,
    /// Another daemon on the same store runs the program, and has granted what it has.
    RunsElsewhere,
}

/// Knows subjects and leases, and ends them as operators order. Nothing of it deletes a connector or a secret.
pub trait Credentials: Send + Sync {
    /// A subject; nothing where no connector starts a program under that name.
    fn subject(&self, id: &str) -> Option<Subject>;

    /// Lets the program of a subject fetch nothing any more until it is started anew, and ends its leases. The error says why not.
    fn revoke_subject(&self, id: &str) -> Result<Subject, NotRevoked>;

    /// A lease, also one that has ended, while it is remembered.
    fn lease(&self, id: &str) -> Option<Lease>;

    /// Ends a lease: its program may not fetch that credential any more until it is started anew.
    fn revoke_lease(&self, id: &str) -> Option<Lease>;

    /// The same for every program that has or may fetch this stored secret. Says how many leases ended.
    fn revoke_slot(&self, slot: &str) -> usize;
}
