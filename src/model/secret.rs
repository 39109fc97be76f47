//! What may be said about a stored secret: everything but its value.

/// One secret of the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretStatus {
    /// Its name: 1 to 256 bytes.
    pub name: String,
    /// 1 for the first value, one more with each new value. A secret that was deleted begins anew.
    pub version: i64,
    /// When its first value came, in milliseconds since 1970.
    pub created_ms: i64,
    /// When its present value came, in milliseconds since 1970.
    pub updated_ms: i64,
}
