//! Whether there is a pooler in between that gives each transaction another session.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;
use uuid::Uuid;

use super::conn::Conn;
use super::fault::POOLER;
use super::tls::Address;
use crate::Error;

/// How long a session of one's own takes to answer at most; one that is shared may be somebody else's for long.
const OWN: Duration = Duration::from_secs(2);

/// Marks a session, and looks for the mark after another connection has begun a transaction: that takes the session away
/// where it is not one's own.
///
/// # Errors
/// [`Error::Unusable`] where the mark is gone.
pub(super) async fn refuse_transactions(address: &Address) -> Result<(), Error> {
    let (mine, other) = (Conn::open(address).await?, Conn::open(address).await?);
    let mark = Uuid::now_v7().to_string();
    mine.batch(&format!("SET piton.session = '{mark}'")).await?;
    other.batch("BEGIN; SELECT 1").await?;
    let looked = mine.client().simple_query("SELECT current_setting('piton.session', true)");
    // What the pooler itself has to say comes later, in its own words.
    let Ok(Ok(found)) = tokio::time::timeout(OWN, looked).await else { return Ok(()) };
    let is_mine = |message: &SimpleQueryMessage| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some(&*mark));
    other.batch("ROLLBACK").await?;
    if found.iter().any(is_mine) { Ok(()) } else { Err(Error::Unusable(POOLER.to_owned())) }
}
