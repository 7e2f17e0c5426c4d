//! A syslog that keeps what it gets, taken apart as RFC 5424 has it. It listens until the test program ends.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Eight times the facility, and the severity.
    pub priority: u32,
    /// When it was written.
    pub time: String,
    /// On which host.
    pub host: String,
    /// By which program.
    pub program: String,
    /// The number of its process.
    pub process: String,
    /// Of which kind it is.
    pub kind: String,
    /// What it says.
    pub text: String,
}

/// The syslog.
pub struct Syslog {
    /// Its address, as `udp://127.0.0.1:port`.
    pub url: String,
    logged: Arc<Mutex<Vec<Logged>>>,
}

/// Larger than any message over UDP.
const DATAGRAM_MAX: usize = 65_536;

impl Syslog {
    /// One that takes datagrams, on a free port.
    pub fn udp() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("udp://{}", socket.local_addr().expect("it listens"));
        Self::start(url, move |keep| {
            let mut room = vec![0; DATAGRAM_MAX];
            while let Ok(length) = socket.recv(&mut room) {
                keep(&room[..length]);
            }
        })
    }

    /// One that takes datagrams at a path, as `/dev/log` does.
    pub fn unix(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("the path is free");
        Self::start(format!("unix://{}", path.display()), move |keep| {
            let mut room = vec![0; DATAGRAM_MAX];
            while let Ok(length) = socket.recv(&mut room) {
                keep(&room[..length]);
            }
        })
    }

    /// One that takes messages with their length before them (RFC 6587), on a free port.
    pub fn tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("tcp://{}", listener.local_addr().expect("it listens"));
        Self::start(url, move |keep| {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut text = Vec::new();
                stream.read_to_end(&mut text).expect("it can be read");
                let mut rest = &text[..];
                while !rest.is_empty() {
                    let space =
                        rest.iter().position(|byte| *byte == b' ').expect("a length ends with a space");
                    let length = std::str::from_utf8(&rest[..space]).expect("a length is text");
                    let (message, after) =
                        rest[space + 1..].split_at(length.parse().expect("a length is a number"));
                    keep(message);
                    rest = after;
                }
            }
        })
    }

    fn start(url: String, listen: impl FnOnce(&dyn Fn(&[u8])) + Send + 'static) -> Self {
        let logged = Arc::new(Mutex::new(Vec::new()));
        let kept = logged.clone();
        std::thread::spawn(move || {
            listen(&|message| kept.lock().expect("nobody panics here").push(read(message)));
        });
        Self { url, logged }
    }

    /// Every message so far.
    pub fn logged(&self) -> Vec<Logged> {
        self.logged.lock().expect("nobody panics here").clone()
    }
}

/// Takes a message apart. One that is none ends the listener, and with it the test.
fn read(message: &[u8]) -> Logged {
    let text = std::str::from_utf8(message).expect("a message is text");
    assert!(text.is_ascii() && !text.contains('\n'), "{text:?} is not one plain line");
    let (priority, rest) = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).expect("a priority");
    let fields: Vec<_> = rest.splitn(8, ' ').collect();
    let [version, time, host, program, process, kind, data, text] = fields[..] else {
        panic!("{text:?} has not all fields")
    };
    assert_eq!((version, data), ("1", "-"), "version, structured data");
    let owned = ToOwned::to_owned;
    Logged {
        priority: priority.parse().expect("a number"),
        time: owned(time),
        host: owned(host),
        program: owned(program),
        process: owned(process),
        kind: owned(kind),
        text: owned(text),
    }
}
