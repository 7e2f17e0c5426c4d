//! Messages over a stream of bytes, one a line: standard streams and TCP, both ways
//! (specification 2026-07-28, transports, stdio).

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::frame::Parts;
use crate::sse::one_line;

/// Bytes that go out in one write, where so many wait.
const WRITE: usize = 64 * 1024;

/// A line outgrew the limit.
#[derive(Debug, thiserror::Error)]
#[error("a line is longer than {0} bytes")]
pub struct TooLong(pub usize);

/// Reads lines.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    buffer: BytesMut,
    searched: usize,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Of an input, with the longest line accepted, in bytes.
    pub fn new(input: R, limit: usize) -> Self {
        Self { input, buffer: BytesMut::with_capacity(16 * 1024), searched: 0, limit }
    }

    /// Takes longer lines, or shorter ones, from now on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next line that is not empty, without white space around it; nothing at the end of the input.
    /// What the end leaves unfinished is no line. Nothing is lost where this is dropped while it waits.
    pub async fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        loop {
            while let Some(step) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line = self.buffer.split_to(self.searched + step + 1).freeze();
                self.searched = 0;
                let line = line.slice_ref(line.trim_ascii());
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            self.searched = self.buffer.len();
            if self.searched > self.limit {
                return Err(TooLong(self.limit));
            }
            self.buffer.reserve(16 * 1024);
            if !matches!(self.input.read_buf(&mut self.buffer).await, Ok(1..)) {
                return Ok(None);
            }
        }
    }
}

/// Writes messages until there are no more, or nobody reads them.
pub async fn write(mut output: impl AsyncWrite + Unpin, messages: &mut mpsc::Receiver<Parts>) {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    while let Some(message) = messages.recv().await {
        add(&mut buffer, message);
        // What else waits goes out in the same write.
        while buffer.len() < WRITE
            && let Ok(message) = messages.try_recv()
        {
            add(&mut buffer, message);
        }
        if output.write_all(&buffer).await.is_err() || output.flush().await.is_err() {
            return;
        }
        buffer.clear();
    }
}

fn add(buffer: &mut BytesMut, message: Parts) {
    one_line(message).iter().for_each(|part| buffer.extend_from_slice(part));
    buffer.extend_from_slice(b"\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_however_they_are_cut() {
        let (mut far, near) = tokio::io::duplex(64);
        let writer = tokio::spawn(async move {
            for piece in ["{\"a\"", ":1}\r\n\n \n{}\n[", "]\nrest"] {
                far.write_all(piece.as_bytes()).await.unwrap();
            }
        });
        let mut lines = Lines::new(near, 64);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(line);
        }
        writer.await.unwrap();
        assert_eq!(seen, [&b"{\"a\":1}"[..], b"{}", b"[]"]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let endless = tokio::io::repeat(b'x');
        let error = Lines::new(endless, 100_000).next().await.unwrap_err();
        assert_eq!(error.to_string(), "a line is longer than 100000 bytes");
    }

    #[tokio::test]
    async fn messages_with_line_breaks_become_one_line_each() {
        let (to, mut messages) = mpsc::channel(4);
        for message in ["{\n}", "[1,\r\n2]"] {
            to.send(message.to_owned().into()).await.unwrap();
        }
        drop(to);
        let mut out = Vec::new();
        write(&mut out, &mut messages).await;
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 2);
        assert_eq!(out.last(), Some(&b'\n'));
    }
}
