//! Connections: taken, encrypted where that is set, bounded in number and in time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::Router;
use hyper::body::Incoming;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use crate::client::Client;
use crate::operate::patience::Patient;
use crate::operate::tls::Tls;
use crate::state::App;

/// Connections that the system keeps until they are taken.
const BACKLOG: u32 = 1024;
/// How long is waited when no connection can be taken, for example for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How long shaking hands may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 64 << 10;
/// How often a client over HTTP/2 that says nothing is asked whether it is there.
const PING: Duration = Duration::from_secs(20);

/// An address that is listened at.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Listener {
    /// Binds `address`.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A server that is started again finds its port free.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, tls })
    }

    /// The address, with the port that the system gave.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers with `router` until the server stops; then lets what was begun finish.
pub async fn serve(listener: Listener, app: Arc<App>, router: Router) {
    let Listener { listener, address, tls } = listener;
    let room = Arc::new(Semaphore::new(app.config.listen.connections));
    let graceful = GracefulShutdown::new();
    let builder = builder(&app);
    let patience = Duration::from_secs_f64(app.config.limits.idle_s);
    loop {
        let taken = tokio::select! {
            biased;
            () = app.stopping() => break,
            taken = take(&listener, &room) => taken,
        };
        let Some((stream, peer, permit)) = taken else { break };
        // What is small is sent at once.
        let _ = stream.set_nodelay(true);
        let client = Client::of_connection(peer, address.port(), tls.is_some());
        let (builder, router, watcher, tls) = (builder.clone(), router.clone(), graceful.watcher(), tls.clone());
        tokio::spawn(async move {
            let _permit = permit;
            match tls {
                None => connection(builder.http1_only(), Patient::new(stream, patience), client, router, watcher).await,
                Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        // The version is agreed on, so that nobody is waited for who does not say which one it is.
                        let is_second = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        let builder = if is_second { builder.http2_only() } else { builder.http1_only() };
                        connection(builder, Patient::new(stream, patience), client, router, watcher).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "no secure connection"),
                    Err(_) => tracing::debug!(%peer, "no secure connection in time"),
                },
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn take(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, permit)),
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn builder(app: &App) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs_f64(app.config.limits.head_s))
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .max_concurrent_streams(64)
        .max_header_list_size(HEAD_BYTES as u32);
    builder
}

async fn connection(
    builder: Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    client: Client,
    router: Router,
    watcher: Watcher,
) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(client.clone());
        router.clone().oneshot(request)
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::trace!(%error, "a connection ended early");
    }
}
