//! The doorbell across machines: LISTEN and NOTIFY, on a connection of its own that is made anew when it is lost.
//!
//! A notice that is lost is normal: whoever waits also looks by itself now and then. Notices are sent outside of the
//! transactions that they tell of, because PostgreSQL has commits with notices queue up for one another.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::poll_fn;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::AsyncMessage;

use super::conn::{Conn, Pool};
use super::fault::Fault;
use super::tls::Address;
use crate::bell::{Bell, Ring};

/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(1);
/// Notices of events are at least this far apart; those of jobs go out at once.
const APART: Duration = Duration::from_millis(20);

/// Rings here and everywhere, until its last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Notifier {
    bell: Bell,
    rung: watch::Sender<Rung>,
    _tasks: Arc<JoinSet<()>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rung {
    jobs: u64,
    events: u64,
}

impl Notifier {
    /// Starts listening, and telling. Must be called inside a tokio runtime.
    pub(super) fn start(address: Arc<Address>, bell: Bell) -> Self {
        let rung = watch::Sender::new(Rung::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(tell(Pool::new(Arc::clone(&address)), rung.subscribe()));
        let ears = bell.clone();
        tasks.spawn(async move {
            loop {
                if let Err(error) = hear(&address, &ears).await {
                    tracing::debug!(error = %crate::Error::from(error), "not listening to PostgreSQL; trying again");
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        Self { bell, rung, _tasks: Arc::new(tasks) }
    }

    pub(super) fn ring(&self, ring: Ring) {
        self.bell.ring(ring);
        self.rung.send_modify(|rung| match ring {
            Ring::Job => rung.jobs += 1,
            Ring::Events => rung.events += 1,
        });
    }
}

/// Listens until the connection is lost.
async fn hear(address: &Address, bell: &Bell) -> Result<(), Fault> {
    let (client, mut connection) = address.connect().await?;
    let mut messages = poll_fn(move |cx| connection.poll_message(cx));
    let mut listening = std::pin::pin!(client.batch_execute("LISTEN piton"));
    let mut is_listening = false;
    loop {
        tokio::select! {
            listened = &mut listening, if !is_listening => {
                listened?;
                is_listening = true;
                // What happened while nobody listened.
                bell.ring(Ring::Job);
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(notice))) => {
                    bell.ring(if notice.payload() == "j" { Ring::Job } else { Ring::Events });
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            }
        }
    }
}

/// Tells the others, as long as there is somebody who rings.
async fn tell(pool: Pool, mut rung: watch::Receiver<Rung>) {
    let mut told = Rung::default();
    while rung.changed().await.is_ok() {
        let now = *rung.borrow_and_update();
        let word = if now.jobs == told.jobs { "e" } else { "j" };
        told = now;
        let notice = async |conn: &Conn| conn.query("SELECT pg_notify('piton', $1)", &[&word]).await;
        if let Err(fault) = pool.read(notice).await {
            tracing::debug!(error = %crate::Error::from(fault), "nobody was told");
        }
        if word == "e" {
            tokio::time::sleep(APART).await;
        }
    }
}
