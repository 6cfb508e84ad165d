//! A port in front of a ledger that lets nobody in until it is opened. Whoever calls waits in `connect`: the call is
//! announced, and not a byte of it is sent. A process can be frozen exactly there.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ledger::Ledger;

/// A connection on loopback that is not there after this will not be there: the queue is full.
const REFUSED_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Turnstile {
    address: SocketAddr,
    open: watch::Sender<bool>,
    /// Connections of our own that take all places in the port's queue.
    crowd: Mutex<Vec<TcpStream>>,
    letting_in: JoinHandle<()>,
}

impl Turnstile {
    /// Closed to begin with.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn before(ledger: &Ledger) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let listener = socket.listen(1).expect("the port can be listened on");
        let address = listener.local_addr().expect("a bound listener has an address");
        let open = watch::Sender::new(false);
        let letting_in = tokio::spawn(let_in(listener, open.subscribe(), ledger.address()));
        let turnstile = Self { address, open, crowd: Mutex::default(), letting_in };
        turnstile.fill().await;
        turnstile
    }

    /// The address of a tool behind it, `query` as in [`Ledger::url`].
    pub fn url(&self, query: &str) -> String {
        format!("http://{}/entries?{query}", self.address)
    }

    /// Lets everybody in, those who have waited with the next of their kernel's tries: within a second or a few.
    pub fn open(&self) {
        self.crowd.lock().expect("nobody panics with the crowd in hand").clear();
        self.open.send_replace(true);
    }

    /// Lets nobody in any more. Who is in stays.
    pub async fn close(&self) {
        self.open.send_replace(false);
        self.fill().await;
    }

    async fn fill(&self) {
        while let Ok(Ok(stream)) = tokio::time::timeout(REFUSED_AFTER, TcpStream::connect(self.address)).await
        {
            self.crowd.lock().expect("nobody panics with the crowd in hand").push(stream);
        }
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        self.letting_in.abort();
    }
}

async fn let_in(listener: TcpListener, mut open: watch::Receiver<bool>, ledger: SocketAddr) {
    loop {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let entered = tokio::select! {
            biased;
            // Once it is closed, a place that became free in the queue would let somebody's bytes in.
            _ = open.wait_for(|open| !*open) => continue,
            entered = listener.accept() => entered,
        };
        let Ok((mut caller, _)) = entered else { continue };
        tokio::spawn(async move {
            if let Ok(mut there) = TcpStream::connect(ledger).await {
                // Whoever hangs up first ends it.
                let _ended = tokio::io::copy_bidirectional(&mut caller, &mut there).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_gets_in_before_it_is_opened_nor_after_it_is_closed() {
        let ledger = Ledger::spawn();
        let turnstile = Turnstile::before(&ledger).await;
        for _ in 0..2 {
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            let request = client.get(turnstile.url("")).send();
            let mut request = std::pin::pin!(request);
            let early = tokio::time::timeout(Duration::from_millis(500), &mut request).await;
            assert!(early.is_err(), "it is closed: {early:?}");
            turnstile.open();
            let reply = tokio::time::timeout(crate::deadline(), request).await.expect("it is open");
            assert_eq!(reply.expect("the ledger answers").status(), 200);
            turnstile.close().await;
        }
    }
}
