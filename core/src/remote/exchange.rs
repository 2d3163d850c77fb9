//! One HTTP exchange, on a thread of its own, so that the caller can leave it at any time.

use std::io::Read;
use std::sync::mpsc::{sync_channel, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::{header, Method, Request};
use ureq::{Agent, AsSendBody, SendBody};

use super::client::{Body, Call, Client, Head, Key};
use super::failure;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};

/// Most bytes of an answer.
pub(super) const MAX_ANSWER: usize = 64 << 20;
/// How often the cancel token is looked at.
const TICK: Duration = Duration::from_millis(10);
/// From this size on, the server is asked whether it wants the body before it is sent.
const LARGE_BODY: u64 = 1 << 20;
/// Pieces of an answer that may wait for the caller.
const WAITING_PIECES: usize = 16;
const PIECE: usize = 16 << 10;
const MAX_REDIRECTS: usize = 5;

/// What whoever reads an answer wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    More,
    Enough,
}

enum Message {
    Head(Head),
    Piece(Vec<u8>),
    End(std::result::Result<(), ureq::Error>),
}

impl Client {
    /// When a call that begins now has to be done.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Makes `call` and gives `on_piece` the answer's bytes as they come, with any status.
    ///
    /// # Errors
    /// `cancelled`, `timeout`, `unreachable`, and what `on_piece` says.
    pub fn exchange(
        &self,
        call: &Call,
        deadline: Instant,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(&Head, &[u8]) -> Result<Flow>,
    ) -> Result<Head> {
        let mut call = call.clone();
        for _ in 0..=MAX_REDIRECTS {
            let head = self.exchange_once(&call, deadline, cancel, on_piece)?;
            let keeps_method = matches!(head.status, 307 | 308) || call.method == Method::GET;
            let (true, Some(location)) = (is_redirect(head.status) && keeps_method, &head.location) else {
                return Ok(head);
            };
            call.target = self.address.redirected(location).ok_or_else(|| {
                let elsewhere = super::address::without_secrets(location);
                Error::unreachable(format!(
                    "{} sends its callers on to {elsewhere:?}, which is not the same server; give the URL of the server itself",
                    self.address
                ))
            })?;
        }
        Err(Error::unreachable(format!("{} redirects without end; check the URL", self.address)))
    }

    /// [`Client::exchange`] of an answer that is read to its end.
    ///
    /// # Errors
    /// As [`Client::exchange`].
    pub fn fetch(&self, call: &Call, deadline: Instant, cancel: &CancelToken) -> Result<(Head, Vec<u8>)> {
        let mut body = Vec::new();
        let head = self.exchange(call, deadline, cancel, &mut |_, piece| {
            body.extend_from_slice(piece);
            Ok(Flow::More)
        })?;
        Ok((head, body))
    }

    fn exchange_once(
        &self,
        call: &Call,
        deadline: Instant,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(&Head, &[u8]) -> Result<Flow>,
    ) -> Result<Head> {
        cancel.check()?;
        let agent = self.agent(deadline);
        let (sender, messages) = sync_channel(WAITING_PIECES);
        let worker = Worker { agent: agent.clone(), url: self.address.url(&call.target), key: self.key.clone() };
        let owned = call.clone();
        thread::Builder::new()
            .name("emotion-llama-http".into())
            .spawn(move || {
                let outcome = worker.run(&owned, &sender);
                let _ = sender.send(Message::End(outcome));
            })
            .map_err(|error| Error::internal(format!("no thread for a call to {}: {error}", self.address)))?;
        let outcome = (|| {
            let mut head: Option<Head> = None;
            let mut received = 0;
            loop {
                cancel.check()?;
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(failure::timed_out(self));
                }
                match (messages.recv_timeout(TICK.min(left)), &head) {
                    (Err(RecvTimeoutError::Timeout), _) => {}
                    (Ok(Message::Head(answer)), _) => {
                        tracing::debug!(url = %self.address, target = call.target, status = answer.status, "answered");
                        head = Some(answer);
                    }
                    (Ok(Message::Piece(piece)), Some(head)) => {
                        received += piece.len();
                        if received > MAX_ANSWER {
                            return Err(Error::unreachable(format!(
                                "the answer of {} to {} has more than {} MiB; is it an Emotion-LLaMA server?",
                                self.address,
                                call.target,
                                MAX_ANSWER >> 20
                            )));
                        }
                        if !is_redirect(head.status) && on_piece(head, &piece)? == Flow::Enough {
                            return Ok(head.clone());
                        }
                    }
                    (Ok(Message::End(Ok(()))), Some(head)) => return Ok(head.clone()),
                    (Ok(Message::End(Err(error))), _) => return Err(failure::of_transport(error, self)),
                    (Ok(Message::End(Ok(())) | Message::Piece(_)), None) | (Err(RecvTimeoutError::Disconnected), _) => {
                        return Err(Error::internal(format!("the call to {} ended without a word", self.address)))
                    }
                }
            }
        })();
        // Closes the socket, whatever the thread waits for.
        agent.shutdown();
        match outcome {
            // The error may be that of the closed socket.
            Err(_) if cancel.is_cancelled() => Err(Error::cancelled()),
            outcome => outcome,
        }
    }

    /// For one exchange, so that closing its socket closes no other.
    fn agent(&self, deadline: Instant) -> Agent {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        Agent::config_builder()
            // No environment variable decides where a clip goes.
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .user_agent(concat!("emotion-llama/", env!("CARGO_PKG_VERSION")))
            .tls_config(self.tls.clone())
            .timeout_global(Some(left))
            .timeout_resolve(Some(self.connect_timeout))
            .timeout_connect(Some(self.connect_timeout))
            .build()
            .new_agent()
    }
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// The thread's side.
struct Worker {
    agent: Agent,
    url: String,
    key: Option<Key>,
}

impl Worker {
    fn run(&self, call: &Call, sender: &SyncSender<Message>) -> std::result::Result<(), ureq::Error> {
        let mut request = Request::builder().method(&call.method).uri(&self.url).header(header::ACCEPT, call.accept);
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, &key.bearer).header("x-api-key", &key.plain);
        }
        match &call.body {
            Body::Empty if call.method == Method::POST => self.send(request.body(&[][..])?, sender),
            Body::Empty => self.send(request.body(())?, sender),
            Body::Json(json) => {
                let request = request.header(header::CONTENT_TYPE, "application/json");
                self.send(request.body(json.as_ref())?, sender)
            }
            Body::Form(form) => {
                let mut request = request
                    .header(header::CONTENT_TYPE, form.content_type())
                    .header(header::CONTENT_LENGTH, form.length());
                if form.length() > LARGE_BODY {
                    request = request.header(header::EXPECT, "100-continue");
                }
                let reader = form.reader().map_err(|error| ureq::Error::Other(error.into()))?;
                self.send(request.body(SendBody::from_owned_reader(reader))?, sender)
            }
        }
    }

    fn send(
        &self,
        request: Request<impl AsSendBody>,
        sender: &SyncSender<Message>,
    ) -> std::result::Result<(), ureq::Error> {
        let response = self.agent.run(request)?;
        if sender.send(Message::Head(Head::of(&response))).is_err() {
            return Ok(());
        }
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; PIECE];
        loop {
            let read = reader.read(&mut buffer).map_err(ureq::Error::from)?;
            let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { return Ok(()) };
            // Nobody listens any more when this fails.
            if sender.send(Message::Piece(piece.to_vec())).is_err() {
                return Ok(());
            }
        }
    }
}
