//! HTTP to a pipe: every client shares one process, so ids are replaced on the way in and put back
//! on the way out. Bodies must be one line, as those of `load` are.

use std::collections::HashMap;
use std::ops::Range;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

use crate::Result;

/// How many messages may wait for the pipe.
const QUEUE: usize = 64;

#[derive(Clone)]
struct Pipe {
    lines: mpsc::Sender<Vec<u8>>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    answers: HashMap<u64, oneshot::Sender<Vec<u8>>>,
}

#[derive(Deserialize)]
struct Id<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

pub(super) async fn serve(listener: TcpListener, command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().ok_or("no command given")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (lines, queue) = mpsc::channel(QUEUE);
    let pipe = Pipe { lines, waiting: Arc::default() };
    tokio::spawn(write(child.stdin.take().ok_or("no input pipe")?, queue));
    tokio::spawn(read(child.stdout.take().ok_or("no output pipe")?, Arc::clone(&pipe.waiting)));
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            status = child.wait() => return Err(format!("the command ended: {}", status?).into()),
        };
        stream.set_nodelay(true)?;
        let pipe = pipe.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| forward(&pipe, request));
            // A client that goes away is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forward(pipe: &Pipe, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let mut response = Response::new(Full::default());
    if request.method() != Method::POST {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return Ok(response);
    }
    let body = request.into_body().collect().await?.to_bytes();
    let Some(at) = id_range(&body)? else {
        pipe.lines.send(line(&body, 0..0, b"")).await?;
        *response.status_mut() = StatusCode::ACCEPTED;
        return Ok(response);
    };
    let (sender, receiver) = oneshot::channel();
    let id = {
        let mut waiting = pipe.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.last += 1;
        let id = waiting.last;
        waiting.answers.insert(id, sender);
        id
    };
    pipe.lines.send(line(&body, at.clone(), id.to_string().as_bytes())).await?;
    let answer = receiver.await?;
    let back = id_range(&answer)?.ok_or("an answer without id")?;
    let mut bytes = line(&answer, back, &body[at]);
    bytes.pop();
    *response.body_mut() = Full::from(bytes);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn write(mut stdin: ChildStdin, mut queue: mpsc::Receiver<Vec<u8>>) -> std::io::Result<()> {
    while let Some(line) = queue.recv().await {
        stdin.write_all(&line).await?;
    }
    Ok(())
}

async fn read(stdout: ChildStdout, waiting: Arc<Mutex<Waiting>>) -> Result<()> {
    let mut lines = BufReader::with_capacity(64 << 10, stdout);
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        line.pop();
        let Some(at) = id_range(&line)? else { continue };
        let id: u64 = std::str::from_utf8(&line[at])?.parse()?;
        let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).answers.remove(&id);
        if let Some(sender) = sender {
            // A client that left does not want its answer.
            let _ = sender.send(line);
        }
    }
}

/// Where in `message` the id stands.
fn id_range(message: &[u8]) -> Result<Option<Range<usize>>> {
    let id = serde_json::from_slice::<Id<'_>>(message)?.id;
    Ok(id.map(|id| {
        // The id borrows from the message, so the distance between them is its place.
        let start = id.get().as_ptr().addr() - message.as_ptr().addr();
        start..start + id.get().len()
    }))
}

/// `message` with the bytes at `at` replaced, as a line.
fn line(message: &[u8], at: Range<usize>, with: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(message.len() + with.len() + 1);
    line.extend_from_slice(&message[..at.start]);
    line.extend_from_slice(with);
    line.extend_from_slice(&message[at.end..]);
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_replaced_in_place() {
        let message = br#"{"method":"x","id":"a-1","params":{"id":7}}"#;
        let at = id_range(message).unwrap().unwrap();
        assert_eq!(line(message, at, b"42"), b"{\"method\":\"x\",\"id\":42,\"params\":{\"id\":7}}\n");
        assert_eq!(id_range(br#"{"method":"x"}"#).unwrap(), None);
    }
}
