//! gRPC health checking, `grpc.health.v1.Health/Check` (github.com/grpc/grpc, doc/health-checking.md), over HTTP/2
//! as doc/PROTOCOL-HTTP2.md has it. Both messages have one field, so they are written and read by hand.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::tcp::{self, Address};
use super::tls::Expected;
use super::{Check, Told, beside, told_by};
use crate::condition::Found;

/// What is read of an answer, in bytes: one field of one byte, and whatever later versions add.
const ANSWER_MAX: usize = 4096;
/// Headers and trailers of an answer, in bytes; servers of gRPC limit theirs to 8 KiB.
const HEAD_MAX: u32 = 16 * 1024;

/// The names of `HealthCheckResponse.ServingStatus`.
const STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/// The names of status codes (doc/statuscodes.md).
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) address: Address,
    /// None for plain text.
    pub(super) expected: Option<Expected>,
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    /// The request, framed.
    pub(super) message: Bytes,
}

/// The request for a service, framed: not compressed, its length, `string service = 1`.
pub(super) fn message(service: &str) -> Bytes {
    let mut field = BytesMut::new();
    if !service.is_empty() {
        field.put_u8(1 << 3 | 2);
        let mut length = service.len();
        while length > 0x7f {
            field.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        field.put_u8(length as u8);
        field.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(5 + field.len());
    framed.put_u8(0);
    framed.put_u32(field.len() as u32);
    framed.put_slice(&field);
    framed.freeze()
}

/// The state in an answer, `ServingStatus status = 1`; 0 where it is left out. Other fields are stepped over.
fn state(framed: &[u8]) -> Option<u64> {
    let (&[compressed, a, b, c, d], rest) = framed.split_first_chunk::<5>()?;
    let mut rest = rest.get(..u32::from_be_bytes([a, b, c, d]) as usize)?;
    let mut state = 0;
    while compressed == 0 && !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match (tag, tag & 7) {
            (8, _) => state = varint(&mut rest)?,
            (_, 0) => drop(varint(&mut rest)?),
            (_, 1) => rest = rest.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            (_, 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    (compressed == 0).then_some(state)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * at).min(63);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

impl Plan {
    /// Asks, and notes the state.
    pub(super) async fn ask(&self, check: &mut Check<'_>) -> Told<()> {
        let stream = self.address.connect(check).await?;
        match &self.expected {
            None => self.over(stream, check.found).await,
            Some(expected) => {
                let stream = check.tls.handshake(stream, expected, check.found).await?;
                self.over(stream, check.found).await
            }
        }
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, found: &mut Found) -> Told<()> {
        let start = Instant::now();
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).max_header_list_size(HEAD_MAX);
        let (sender, connection) = builder.handshake(stream).await.map_err(|error| broken(&error))?;
        let mut request = Request::post(self.url.clone()).body(()).map_err(|error| error.to_string())?;
        request.headers_mut().clone_from(&self.headers);
        let answered = async {
            let mut sender = sender.ready().await?;
            let (response, mut sending) = sender.send_request(request, false)?;
            sending.send_data(self.message.clone(), true)?;
            let (head, mut body) = response.await?.into_parts();
            found.phases.first_byte = start.elapsed();
            let framed = read(&mut body).await?;
            let trailers = body.trailers().await?;
            Ok((head, framed, trailers))
        };
        let (head, framed, trailers) =
            beside(connection, answered).await.map_err(|error: h2::Error| broken(&error))?;
        let is_grpc = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if !is_grpc {
            return Err(format!(
                "the server does not speak gRPC: it answered with HTTP status {}",
                head.status.as_u16()
            ));
        }
        // An answer without a message has its status in the head.
        judge(trailers.as_ref().unwrap_or(&head.headers), &framed, found)
    }
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut framed = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        framed.extend_from_slice(&chunk);
        if framed.len() > ANSWER_MAX {
            break;
        }
    }
    Ok(framed)
}

fn judge(trailers: &HeaderMap, framed: &[u8], found: &mut Found) -> Told<()> {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    let code: u16 =
        text("grpc-status").and_then(|code| code.parse().ok()).ok_or("the answer has no gRPC status")?;
    found.status = Some(code);
    if code != 0 {
        let name = CODES.get(usize::from(code)).copied().unwrap_or("no code that is known");
        let message = percent_encoding::percent_decode_str(text("grpc-message").unwrap_or_default());
        let message = told_by(&message.decode_utf8_lossy());
        let colon = if message.is_empty() { "" } else { ": " };
        return Err(format!("gRPC status {code} ({name}){colon}{message}"));
    }
    let state = state(framed).ok_or("the answer is no message of gRPC health")?;
    let state = usize::try_from(state).ok().and_then(|state| STATES.get(state)).copied().unwrap_or("UNKNOWN");
    found.body = format!("{{\"status\":\"{state}\"}}").into_bytes();
    found.connected = state == "SERVING";
    if found.connected { Ok(()) } else { Err(format!("the service says that it is {state}")) }
}

/// Why there is no answer.
fn broken(error: &h2::Error) -> String {
    match error.get_io() {
        Some(error) => format!("the connection broke: {}", tcp::words(error)),
        None => format!("the server does not speak HTTP/2: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_protobuf_has_it() {
        assert_eq!(&message("")[..], b"\0\0\0\0\0");
        assert_eq!(&message("db")[..], b"\0\0\0\0\x04\x0a\x02db");
        let long = message(&"x".repeat(300));
        assert_eq!(&long[..8], b"\0\0\0\x01\x2f\x0a\xac\x02");
    }

    #[test]
    fn an_answer_is_read_beside_fields_that_are_new() {
        assert_eq!(state(b"\0\0\0\0\0"), Some(0));
        assert_eq!(state(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(state(b"\0\0\0\0\x08\x12\x02xy\x18\x05\x08\x02"), Some(2));
        for bad in
            [&b""[..], b"\0\0\0\0\x09\x08", b"\x01\0\0\0\0", b"\0\0\0\0\x02\x08\x80", b"\0\0\0\0\x01\x0b"]
        {
            assert_eq!(state(bad), None, "{bad:?}");
        }
    }
}
