//! Connections that only read. A look at a row or two is made where it is asked for, which is cheaper than handing it to
//! a thread; whatever may be long goes to a thread of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::fault::Fault;
use super::open;
use crate::Error;

/// Long reads at once; who comes later waits.
const LONG_READS_MAX: usize = 4;
/// Connections kept for the next read.
const IDLE_MAX: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), turns: Arc::new(Semaphore::new(LONG_READS_MAX)) }
    }

    /// Reads a row or two, here and now.
    pub(super) fn glance<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open::reader(&self.path).map_err(Fault::from)?,
        };
        let read = look(&conn);
        // After an error it is not known what the connection is good for.
        if matches!(read, Ok(_) | Err(Fault::Corrupt(_))) {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_MAX {
                idle.push(conn);
            }
        }
        Ok(read?)
    }

    /// Reads as much as it takes, on a thread of its own.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let gone = || Error::Unavailable("the store is shutting down".to_owned());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| gone())?;
        let readers = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            readers.glance(look)
        });
        read.await.map_err(|_| gone())?
    }
}
