//! Connections: to vetted addresses only, and known to be up before a request counts as sent.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use piton_core::EffectClass;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use super::address;

/// No connection takes longer, whatever the tool's own limit.
const CONNECT_MS_MAX: u64 = 10_000;
/// How long a connection may wait for its next request.
const IDLE: Duration = Duration::from_secs(20);
/// Clients that are kept; there is one for each kind of connection in use.
const CLIENTS_MAX: usize = 64;

/// What kind of connection a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Connection {
    pub(super) allow_private: bool,
    /// Never one that was used before. A server may close a waiting connection at the moment it is used again, and
    /// then nobody knows whether the request arrived; an effect that must not be repeated is not exposed to that.
    fresh: bool,
    /// Shorter than the call's limit: what has not connected by then is *known* not to have been sent.
    connect_ms: u64,
}

impl Connection {
    pub(super) fn of(allow_private: bool, effect: EffectClass, timeout_ms: u64) -> Self {
        Self {
            allow_private,
            fresh: effect == EffectClass::AtMostOnce,
            connect_ms: (timeout_ms * 3 / 4).clamp(1, CONNECT_MS_MAX),
        }
    }
}

/// How hosts are found and judged. Tests put their own in the place of the real ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// From a host name to its addresses.
    pub(super) lookup: fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>,
    pub(super) is_public: fn(IpAddr) -> bool,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            lookup: |host| async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) }.boxed(),
            is_public: address::is_public,
        }
    }
}

/// HTTP clients by the kind of connections they make.
#[derive(Default)]
pub(super) struct Clients {
    kept: Mutex<HashMap<Connection, Client>>,
    pub(super) reach: Reach,
}

impl Clients {
    pub(super) fn client(&self, connection: Connection) -> Result<Client, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.get(&connection) {
            return Ok(client.clone());
        }
        let client = self.build(connection)?;
        if kept.len() >= CLIENTS_MAX {
            kept.clear();
        }
        kept.insert(connection, client.clone());
        Ok(client)
    }

    fn build(&self, connection: Connection) -> Result<Client, String> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("piton/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .http1_only()
                .tcp_nodelay(true)
                .connect_timeout(Duration::from_millis(connection.connect_ms))
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(if connection.fresh { 0 } else { 8 })
                .dns_resolver(Resolver { allow_private: connection.allow_private, reach: self.reach })
        };
        // A machine without any CA certificates can still call http addresses; an https one then fails by itself.
        builder().build().or_else(|error| {
            tracing::warn!(error = super::root_cause(&error), "no CA certificates: https tools will fail");
            builder().tls_certs_only([]).build().map_err(|error| super::root_cause(&error))
        })
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

/// Gives out only addresses that may be called, so that a connection is made to an address that was vetted, not to
/// what a second look-up might say.
struct Resolver {
    allow_private: bool,
    reach: Reach,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { allow_private, reach } = *self;
        let lookup = (reach.lookup)(name.as_str().to_owned());
        async move {
            let found = lookup.await?;
            let addresses =
                if allow_private { found } else { address::vet(name.as_str(), found, reach.is_public)? };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        }
        .boxed()
    }
}
