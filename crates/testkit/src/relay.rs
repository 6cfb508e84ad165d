//! The network between a client and a server on this machine: it can be cut, and mended.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Passes on every connection to `target`, while it is not cut. Cut, it refuses new ones and breaks those there are.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    target: SocketAddr,
    passing: Option<AbortHandle>,
    /// Keeps the address from being given to somebody else meanwhile.
    _reserved: Arc<TcpSocket>,
}

impl Relay {
    /// Listens on an ephemeral port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn to(target: SocketAddr) -> Self {
        Self::between(Ipv4Addr::LOCALHOST.into(), target)
    }

    /// Listens on an ephemeral port of this address of the machine.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn between(address: IpAddr, target: SocketAddr) -> Self {
        let reserved = TcpSocket::new_v4().expect("a socket");
        reserved.set_reuseport(true).expect("a port may be shared");
        reserved.bind(SocketAddr::from((address, 0))).expect("a port for the relay");
        let address = reserved.local_addr().expect("a bound socket has an address");
        let mut relay = Self { address, target, passing: None, _reserved: Arc::new(reserved) };
        relay.mend();
        relay
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on connections are refused, and those that were there are broken off.
    pub fn cut(&mut self) {
        if let Some(passing) = self.passing.take() {
            passing.abort();
        }
    }

    /// From now on connections are passed on.
    ///
    /// # Panics
    /// When its port was taken meanwhile.
    pub fn mend(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseport(true).and_then(|()| socket.bind(self.address)).expect("the port is the relay's");
        let listener = socket.listen(128).expect("the relay listens");
        let passing = tokio::spawn(pass(listener, self.target));
        self.passing = Some(passing.abort_handle());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Ends, with all connections, when its task is aborted.
async fn pass(listener: TcpListener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut server) = TcpStream::connect(target).await {
                // Either side may hang up at any time.
                let _passed = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_breaks_what_is_there_and_refuses_what_comes() {
        let echo = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let target = echo.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut client, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    let _echoed = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let mut relay = Relay::to(target);
        for _ in 0..2 {
            let mut client = TcpStream::connect(relay.address()).await.expect("it is passed on");
            let mut byte = [0_u8];
            client.write_all(b"x").await.expect("sent");
            client.read_exact(&mut byte).await.expect("echoed");
            relay.cut();
            assert_eq!(client.read(&mut byte).await.unwrap_or_default(), 0, "the connection is broken");
            TcpStream::connect(relay.address()).await.expect_err("nobody listens");
            relay.mend();
        }
    }
}
