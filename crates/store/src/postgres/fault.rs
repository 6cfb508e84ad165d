//! Why a statement was not carried out.

use tokio_postgres::error::SqlState;

use crate::Error;

pub(super) const READ_ONLY: &str =
    "this PostgreSQL server is read-only, a standby perhaps: Piton has to write it";

/// What a statement that is not where it was prepared tells of.
pub(super) const POOLER: &str = "a pooler gives each transaction another session, and Piton needs one of its own for each connection; \
                      connect directly, or with pool_mode = session";

#[derive(Debug)]
pub(super) enum Fault {
    Sql(tokio_postgres::Error),
    /// Not the server's own complaint; it passes.
    NotNow(String),
    /// What was read cannot be understood: trying again does not help.
    Corrupt(String),
}

impl Fault {
    pub(super) fn corrupt(what: impl ToString) -> Self {
        Self::Corrupt(what.to_string())
    }

    /// Whether the statement itself is at fault, so that its connection is as good as before once it was rolled back.
    pub(super) fn is_of_the_statement(&self) -> bool {
        match self {
            Self::Corrupt(_) => true,
            Self::NotNow(_) => false,
            // Another connection may lead to a server that takes writes.
            Self::Sql(error) => error.code().is_some_and(|code| {
                !["57P", "08", "25006"].iter().any(|fault| code.code().starts_with(fault))
            }),
        }
    }

    /// Whether it lies in the order in which transactions came: the next try may well succeed.
    pub(super) fn is_of_the_order(&self) -> bool {
        self.has_code(&[SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED])
    }

    /// Whether it took too long: what the statement waited for may be in many others' way.
    pub(super) fn is_of_waiting(&self) -> bool {
        self.has_code(&[SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED])
    }

    /// Whether somebody else has what it wanted to lock.
    pub(super) fn is_of_a_lock(&self) -> bool {
        self.has_code(&[SqlState::LOCK_NOT_AVAILABLE])
    }

    fn has_code(&self, codes: &[SqlState]) -> bool {
        matches!(self, Self::Sql(error) if error.code().is_some_and(|code| codes.contains(code)))
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt(what) => Self::Corrupt(what),
            Fault::NotNow(why) => Self::Unavailable(why),
            Fault::Sql(error) => Self::Unavailable(plain(&error)),
        }
    }
}

/// The server's own words, without the wrapping. They never hold the URL, which may hold a password.
pub(super) fn plain(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return match *said.code() {
            SqlState::READ_ONLY_SQL_TRANSACTION => READ_ONLY.to_owned(),
            SqlState::TOO_MANY_CONNECTIONS => {
                format!("{}: raise max_connections, or run fewer processes", said.message())
            }
            SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT => {
                format!("{}: {POOLER}", said.message())
            }
            _ => said.message().to_owned(),
        };
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    format!("PostgreSQL cannot be reached: {deepest}")
}
