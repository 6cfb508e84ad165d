//! Steps that look whether their run was commanded meanwhile: all that look at once are one query.

use piton_core::RunId;
use tokio::sync::{mpsc, oneshot};

use super::conn::Pool;
use super::read;
use crate::{Error, Standing};

/// Looks that are answered with one query.
const JOINED_MAX: usize = 256;

type Look = (RunId, oneshot::Sender<Result<Option<Standing>, Error>>);

/// Where looks are handed in.
#[derive(Debug, Clone)]
pub(super) struct Looks(mpsc::UnboundedSender<Look>);

impl Looks {
    /// Must be called inside a tokio runtime.
    pub(super) fn start(pool: Pool) -> Self {
        let (sender, mut looks) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut joined = Vec::new();
            while looks.recv_many(&mut joined, JOINED_MAX).await > 0 {
                // Whoever stopped waiting is not looked for.
                joined.retain(|(_, reply): &Look| !reply.is_closed());
                answer(&pool, joined.drain(..)).await;
            }
        });
        Self(sender)
    }

    /// How one run stands; `None` when there is no such run.
    pub(super) async fn at(&self, run: RunId) -> Result<Option<Standing>, Error> {
        let gone = || Error::Unavailable("the store is shutting down".to_owned());
        let (reply, replied) = oneshot::channel();
        self.0.send((run, reply)).map_err(|_| gone())?;
        replied.await.map_err(|_| gone())?
    }
}

async fn answer(pool: &Pool, looks: impl Iterator<Item = Look>) {
    let (runs, replies): (Vec<RunId>, Vec<_>) = looks.unzip();
    let standings = pool.read(async |conn| read::standings(conn, &runs).await).await.map_err(Error::from);
    for (run, reply) in runs.into_iter().zip(replies) {
        let standing =
            |standings: &Vec<Standing>| standings.iter().find(|standing| standing.run == run).copied();
        // Whoever asked may have stopped waiting.
        let _ = reply.send(standings.as_ref().map(standing).map_err(Clone::clone));
    }
}
