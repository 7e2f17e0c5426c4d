//! The same server over stdin and stdout, one message a line.
//!
//! Plain blocking reads: tokio's stdin goes through another thread, which would be measured too.

use std::io::{self, BufRead, BufReader, Write};

use tokio::runtime::Builder;

use super::answer::{Reply, Server, error};
use super::message::Message;
use crate::Result;

const READ: usize = 64 << 10;

/// Serves until stdin ends. Runs on a thread of its own, as it keeps a runtime for `sleep`.
pub(super) fn serve(server: Server) -> Result<()> {
    let reader = std::thread::spawn(move || -> Result<()> {
        let timers = Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
        let mut input = BufReader::with_capacity(READ, io::stdin());
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line)? > 0 {
            let reply = match Message::parse(&line) {
                Ok(message) => server.answer(&message),
                Err(_) => Reply::Now(error("null", -32700, "not a message")),
            };
            match reply {
                Reply::Now(bytes) => write_line(bytes)?,
                Reply::After(time, bytes) => {
                    timers.spawn(async move {
                        tokio::time::sleep(time).await;
                        // Whoever asked is gone, then; the read loop ends for the same reason.
                        let _ = write_line(bytes);
                    });
                }
                Reply::Accepted | Reply::Never => {}
            }
            line.clear();
        }
        timers.shutdown_background();
        Ok(())
    });
    reader.join().map_err(|_| "the reading thread panicked")?
}

fn write_line(mut bytes: Vec<u8>) -> io::Result<()> {
    bytes.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&bytes)?;
    output.flush()
}
