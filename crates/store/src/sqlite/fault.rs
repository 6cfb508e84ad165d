//! Why a statement was not carried out.

use crate::Error;

#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    /// Not SQLite's own complaint; it passes.
    NotNow(&'static str),
    /// What was read cannot be understood: trying again does not help.
    Corrupt(String),
}

impl Fault {
    pub(super) fn corrupt(what: impl ToString) -> Self {
        Self::Corrupt(what.to_string())
    }

    /// SQLite's primary result code, where it is SQLite that complains.
    fn code(&self) -> Option<i32> {
        match self {
            Self::Sql(rusqlite::Error::SqliteFailure(error, _)) => Some(error.extended_code & 0xff),
            Self::Sql(_) | Self::NotNow(_) | Self::Corrupt(_) => None,
        }
    }

    /// Whether reading, writing or syncing the file failed.
    pub(super) fn is_io(&self) -> bool {
        self.code() == Some(rusqlite::ffi::SQLITE_IOERR)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt(what) => Self::Corrupt(what),
            Fault::NotNow(why) => Self::Unavailable(why.to_owned()),
            Fault::Sql(error) => Self::Unavailable(plain(&error)),
        }
    }
}

/// The database's own words, without the wrapping.
pub(super) fn plain(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqliteFailure(error, None) => {
            rusqlite::ffi::code_to_str(error.extended_code).to_owned()
        }
        other => other.to_string(),
    }
}
