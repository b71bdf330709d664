//! The one error of the house. Rooms convert what they own (sqlx, lapin, serde) into it;
//! only `http` turns it into an answer. No foreign type appears here.

/// What can go wrong, in the words of the person who has to act on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or not for this caller.
    #[error("not found: {0}")]
    NotFound(Reason),
    /// The input cannot be what was meant. Nothing changed.
    #[error("invalid: {0}")]
    Invalid(Reason),
    /// Nobody is signed in, or the pass does not verify.
    #[error("unauthorized: {0}")]
    Unauthorized(Reason),
    #[error("forbidden: {0}")]
    Forbidden(Reason),
    /// Right input at the wrong time: the state does not allow it.
    #[error("conflict: {0}")]
    Conflict(Reason),
    /// The body is larger than its limit.
    #[error("too large: {0}")]
    TooLarge(Reason),
    /// The body is of a type nobody asked for.
    #[error("unsupported: {0}")]
    Unsupported(Reason),
    #[error("too many requests")]
    TooMany,
    /// Refused before anything was made durable: it will not be counted. Safe to try again.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// Neither safe nor refused: the same ballot must be sent again.
    #[error("outcome unknown: {0}")]
    Unknown(&'static str),
    /// The disk under the database failed: what of the file is on it nobody knows any more, and the process must end.
    #[error("the disk failed: {0}")]
    Disk(#[source] anyhow::Error),
    /// Ours. Logged once, at the boundary; never shown.
    #[error("internal: {0}")]
    Internal(#[source] anyhow::Error),
}

/// A stable code for programs and a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    pub code: &'static str,
    pub why: &'static str,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.why, self.code)
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `reason("poll_closed", "This poll is closed.")`
pub const fn reason(code: &'static str, why: &'static str) -> Reason {
    Reason { code, why }
}

impl Error {
    pub fn invalid(code: &'static str, why: &'static str) -> Error {
        Error::Invalid(reason(code, why))
    }

    pub fn conflict(code: &'static str, why: &'static str) -> Error {
        Error::Conflict(reason(code, why))
    }

    pub fn not_found(code: &'static str, why: &'static str) -> Error {
        Error::NotFound(reason(code, why))
    }

    pub fn internal(cause: impl Into<anyhow::Error>) -> Error {
        Error::Internal(cause.into())
    }
}
