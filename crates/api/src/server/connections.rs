//! Taking connections: bounded in number, in how long a head may take to arrive, in how long a client may take nothing
//! of what it is sent, and in how long stopping takes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::patience::Patient;

/// How long a request's head may take, and how long a connection may be idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what it is sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head, and of what one connection may have waiting to be sent, give or take a piece of a body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Bytes that the kernel takes in for one client; it would go up to megabytes by itself.
const SEND_BUFFER_BYTES: u32 = 256 * 1024;
/// Clients that may wait to be taken.
const BACKLOG: u32 = 1024;
/// How long requests that are under way may take to end once the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait when no connection can be taken, for want of file descriptors say.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Listens on `address`, for [`serve`]. Must be called inside a tokio runtime.
///
/// # Errors
/// When the address is taken, or is none of this machine's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that was killed can be started again at once.
    socket.set_reuseaddr(true)?;
    // The connections taken inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listener` until `stop`, then ends what is under way within five seconds. There are at most
/// `connections_max` connections at once; more wait in the kernel's queue.
///
/// # Errors
/// None once it serves: a connection that fails is that connection's trouble.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    stop: CancellationToken,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(connections_max));
    let tracker = TaskTracker::new();
    let cut = CancellationToken::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &places)).await {
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                stop.run_until_cancelled(sleep(ACCEPT_AGAIN)).await;
                continue;
            }
        };
        let (router, stop, cut) = (router.clone(), stop.clone(), cut.clone());
        tracker.spawn(async move {
            cut.run_until_cancelled(connection(stream, router, stop)).await;
            drop(place);
        });
    }
    drop(listener);
    tracker.close();
    if timeout(STOP_WITHIN, tracker.wait()).await.is_err() {
        tracing::warn!(connections = tracker.len(), "connections were cut at the end");
        cut.cancel();
        tracker.wait().await;
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Otherwise each small frame may wait 40 ms for the one before it to be acknowledged.
                stream.set_nodelay(true)?;
                return Ok((stream, place));
            }
            // The client went away before it was its turn.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move { router.oneshot(request.map(Body::new)).await.map_err(|never: Infallible| match never {}) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream, SEND_TIMEOUT)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::routing::get;
    use futures::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    async fn served(router: Router) -> (SocketAddr, CancellationToken, JoinHandle<io::Result<()>>) {
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a port");
        let (address, stop) = (listener.local_addr().expect("an address"), CancellationToken::new());
        (address, stop.clone(), tokio::spawn(serve(listener, router, 10, stop)))
    }

    async fn sent(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    async fn to_the_end(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("the end");
        text
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    #[tokio::test]
    async fn a_stop_lets_what_is_under_way_end_and_idle_connections_go() {
        let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (here, when) = (Arc::clone(&arrived), Arc::clone(&go));
        let slow = get(async move || {
            here.notify_one();
            when.notified().await;
            "done"
        });
        let (address, stop, server) = served(Router::new().route("/", slow)).await;
        let (idle, busy) = (sent(address, "").await, sent(address, GET).await);
        arrived.notified().await;
        stop.cancel();
        assert_eq!(to_the_end(idle).await, "");
        assert!(!server.is_finished(), "a request is under way");
        go.notify_one();
        assert!(to_the_end(busy).await.ends_with("done"));
        server.await.expect("no panic").expect("served");
        TcpStream::connect(address).await.expect_err("nobody listens");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_cut() {
        let endless = get(async || Body::from_stream(stream::pending::<Result<String, Infallible>>()));
        let (address, stop, server) = served(Router::new().route("/", endless)).await;
        let mut stream = sent(address, GET).await;
        stream.read_u8().await.expect("the head");
        stop.cancel();
        let begin = Instant::now();
        server.await.expect("no panic").expect("served");
        assert!(begin.elapsed() >= STOP_WITHIN && begin.elapsed() < 2 * STOP_WITHIN, "{:?}", begin.elapsed());
    }

    /// Says when the body that holds it is dropped.
    struct Held(Arc<Notify>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off_and_little_is_made_for_it() {
        const PIECE: usize = 64 * 1024;
        let (made, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (making, held) = (Arc::clone(&made), Arc::clone(&gone));
        let endless = get(async move || {
            let held = Held(held);
            Body::from_stream(stream::repeat_with(move || {
                let _held = &held;
                making.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(vec![b'x'; PIECE])
            }))
        });
        let (address, _stop, _server) = served(Router::new().route("/", endless)).await;
        let begin = Instant::now();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(PIECE as u32).expect("a small buffer");
        let mut stream = socket.connect(address).await.expect("a connection");
        stream.write_all(GET.as_bytes()).await.expect("sent");
        gone.notified().await;
        assert!(
            begin.elapsed() >= SEND_TIMEOUT && begin.elapsed() < 2 * SEND_TIMEOUT,
            "{:?}",
            begin.elapsed()
        );
        let bytes = made.load(Ordering::Relaxed) * PIECE;
        assert!(bytes <= 1 << 20, "{bytes}");
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_waits_for_one() {
        let (address, _stop, _server) = served(Router::new().route("/", get(async || "hello"))).await;
        let mut idle = Vec::new();
        for _ in 0..10 {
            idle.push(sent(address, "").await);
        }
        let last = GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        let waiting = tokio::spawn(to_the_end(sent(address, &last).await));
        // One that is served shows that those before it have been taken.
        idle[9].write_all(GET.as_bytes()).await.expect("sent");
        idle[9].read_u8().await.expect("an answer");
        assert!(!waiting.is_finished());
        drop(idle);
        assert!(waiting.await.expect("no panic").ends_with("hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_dawdles_is_given_up() {
        let (address, _stop, _server) = served(Router::new().route("/", get(async || "hello"))).await;
        let begin = Instant::now();
        let said = to_the_end(sent(address, "GET / HTTP/1.1\r\nhost: loc").await).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
        assert!(begin.elapsed() >= HEAD_TIMEOUT, "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn one_connection_serves_several_requests() {
        let (address, _stop, _server) = served(Router::new().route("/", get(async || "hello"))).await;
        let last = GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        let said = to_the_end(sent(address, &format!("{GET}{last}")).await).await;
        assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
    }
}
