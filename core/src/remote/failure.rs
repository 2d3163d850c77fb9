//! From a call that failed to an [`Error`].

use std::io;

use serde_json::Value;

use super::client::{Client, Head};
use crate::error::{Error, ErrorKind};

/// Longest text of a server in a message, in characters.
const MAX_TEXT: usize = 500;

/// The error of a call that was not answered in time.
pub(super) fn timed_out(client: &Client) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!(
            "{} did not answer within {} s; raise timeout_s, or see whether the server is busy",
            client.address,
            client.timeout.as_secs_f64()
        ),
    )
}

/// The error of an exchange that came to no answer.
pub(super) fn of_transport(error: ureq::Error, client: &Client) -> Error {
    use ureq::{Error as Http, Timeout};
    let url = &client.address;
    match error {
        Http::Timeout(Timeout::Connect | Timeout::Resolve) => Error::new(
            ErrorKind::Timeout,
            format!(
                "no connection to {url} within {} s; check host and port, or raise connect_timeout_s",
                client.connect_timeout.as_secs_f64()
            ),
        ),
        Http::Timeout(_) => timed_out(client),
        Http::HostNotFound => no_host(client, ""),
        Http::Other(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::unreachable(format!("the call to {url} failed: {error}")),
        },
        Http::Io(error) => of_io(&error, client),
        Http::Rustls(error) => tls(client, &error.to_string()),
        Http::Tls(error) => tls(client, error),
        Http::Protocol(error) => {
            Error::unreachable(format!("{url} does not answer in HTTP ({error}); check host and port"))
        }
        other => Error::unreachable(format!("the call to {url} failed: {other}")),
    }
}

fn of_io(error: &io::Error, client: &Client) -> Error {
    let url = &client.address;
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::unreachable(format!(
            "no server listens at {url} (connection refused); start it, or check host and port"
        )),
        io::ErrorKind::TimedOut => timed_out(client),
        io::ErrorKind::InvalidData if text.contains("became shorter") => {
            Error::invalid_argument(format!("the clip could not be sent to {url}: {text}"))
        }
        io::ErrorKind::InvalidData if url.is_secure() => tls(client, &text),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Error::unreachable(format!(
            "{url} closed the connection before its answer was complete; it may refuse clips of this size, or have been stopped"
        )),
        _ if text.contains("lookup address") => no_host(client, &text),
        _ => Error::unreachable(format!("the call to {url} failed: {text}")),
    }
}

fn no_host(client: &Client, why: &str) -> Error {
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    Error::unreachable(format!(
        "there is no host of the name in {}{why}; check the spelling and the network",
        client.address
    ))
}

fn tls(client: &Client, why: &str) -> Error {
    Error::unreachable(format!(
        "no secure connection to {}: {why}; for a certificate of your own authority give its file as ca_file, for a server without TLS write http://",
        client.address
    ))
}

/// The error of an answer with a status that says so. `body` may be of any kind.
pub(super) fn of_answer(head: &Head, body: &[u8], client: &Client, target: &str) -> Error {
    let url = &client.address;
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let said = json.as_ref().and_then(sentence).map(|text| shortened(&text));
    let kind = json.as_ref().and_then(|json| json.get("code")?.as_str()).and_then(ErrorKind::named);
    let retry = head.retry_after.as_deref().map(|wait| format!("; try again in {}", seconds(wait))).unwrap_or_default();
    let quoted = said.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    match (head.status, kind) {
        (401 | 403, _) if client.key.is_none() => Error::invalid_argument(format!(
            "{url} wants a key (status {}{quoted}); give it in the option api_key",
            head.status
        )),
        (401 | 403, _) => Error::invalid_argument(format!(
            "{url} refuses the key (status {}{quoted}); check the option api_key",
            head.status
        )),
        (429, _) | (503, None | Some(ErrorKind::Overloaded)) => Error::new(
            ErrorKind::Overloaded,
            format!(
                "{url} has too much to do (status {}{quoted}){}",
                head.status,
                if retry.is_empty() { "; try again later" } else { &retry }
            ),
        ),
        // The server's own sentence says what to do.
        (_, Some(kind)) => {
            Error::new(kind, said.unwrap_or_else(|| format!("{url} reports {kind} (status {})", head.status)))
        }
        (400 | 422, None) => {
            Error::invalid_argument(format!("{url} refuses the request (status {}{quoted})", head.status))
        }
        (413, None) => Error::new(ErrorKind::MediaTooLarge, format!("the clip is too large for {url}{quoted}")),
        (415, None) => Error::undecodable(format!("{url} does not take this kind of clip{quoted}")),
        (404 | 405, None) => Error::unreachable(format!(
            "{url} does not know {target} (status {}{quoted}); is it an Emotion-LLaMA server?",
            head.status
        )),
        (408 | 504, None) => Error::new(ErrorKind::Timeout, format!("{url} gave up (status {}{quoted})", head.status)),
        (502, None) => {
            Error::unreachable(format!("the gateway at {url} does not reach its server (status 502{quoted})"))
        }
        (500..=599, None) => match said {
            Some(text) => Error::internal(format!("{url} failed: {text}")),
            None => Error::internal(format!("{url} failed and does not say why (status {})", head.status)),
        },
        (status, None) => Error::unreachable(format!("{url} gave status {status} to {target}{quoted}")),
    }
}

/// The error that an event or answer `{"error", "code", "details"}` of our own server tells.
pub(super) fn of_json(json: &Value, client: &Client) -> Error {
    let kind = json.get("code").and_then(Value::as_str).and_then(ErrorKind::named).unwrap_or(ErrorKind::Internal);
    let said = sentence(json).map(|text| shortened(&text));
    Error::new(kind, said.unwrap_or_else(|| format!("{} reports {kind} without a word", client.address)))
}

/// What a body says is wrong: our own `{"error", "details"}`, FastAPI's `{"detail"}`, Gradio's `{"error"}`.
fn sentence(json: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(error) = json.get("error").and_then(text) {
        let details = match json.get("details") {
            None | Some(Value::Null) => None,
            Some(Value::String(details)) => Some(details.clone()).filter(|details| !details.is_empty()),
            Some(Value::Object(details)) if details.is_empty() => None,
            Some(details) => Some(details.to_string()),
        };
        return Some(details.map_or(error.clone(), |details| format!("{error} ({details})")));
    }
    let detail = json.get("detail")?;
    if let Some(problems) = detail.as_array() {
        let told = problems.iter().filter_map(|problem| {
            let place = problem.get("loc")?.as_array()?.iter().map(plain).collect::<Vec<_>>().join(".");
            Some(format!("{place}: {}", problem.get("msg")?.as_str()?))
        });
        return Some(told.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty());
    }
    text(detail)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// One line of a bounded length, without control characters.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    if line.chars().count() > MAX_TEXT {
        short.push('…');
    }
    short
}

fn seconds(wait: &str) -> String {
    match wait.trim().parse::<u32>() {
        Ok(seconds) => format!("{seconds} s"),
        Err(_) => shortened(wait),
    }
}
