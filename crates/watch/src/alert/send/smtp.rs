//! Over SMTP (RFC 5321), with a connection for each mail: TLS as it is asked for and never less, a login by PLAIN or
//! LOGIN, one letter.

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use puerto_core::def::SmtpTls;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::time::Instant;

use super::Outcome;
use crate::alert::channel::{Channel, Letter, Login, Mail};
use crate::probe::{Dial, Spoken, Tls, told_by, words};

/// Bytes of one reply, all of its lines together; a line has 512 (RFC 5321, section 4.5.3.1.5).
const REPLY_MAX: u64 = 16 * 1024;

/// What a step gives, or what becomes of the letter without it.
type Step<T> = Result<T, Outcome>;

/// What a server says to one command.
struct Reply {
    code: u16,
    /// Its lines, without their numbers.
    lines: Vec<String>,
}

/// A conversation.
struct Talk<S> {
    stream: BufReader<S>,
    /// Who we are: our address.
    name: String,
}

/// Sends a letter.
pub(super) async fn deliver(tls: &Tls, mail: &Mail, channel: &Channel, letter: &Letter) -> Outcome {
    let deadline = Instant::now() + channel.timeout();
    let dial = Dial { tls, address: &mail.server, trust: &mail.trust, deadline };
    match converse(&dial, mail, letter).await {
        Ok(()) => Outcome::Sent,
        Err(Outcome::Retry { after, why }) => Outcome::Retry { after, why: told(mail, &why) },
        Err(Outcome::Refused { why }) => Outcome::Refused { why: told(mail, &why) },
        Err(Outcome::Sent) => Outcome::Sent,
    }
}

/// A reason with the server that it is about.
fn told(mail: &Mail, why: &str) -> String {
    let server = mail.server.to_string();
    if why.contains(&server) { why.to_owned() } else { format!("{server}: {why}") }
}

async fn converse(dial: &Dial<'_>, mail: &Mail, letter: &Letter) -> Step<()> {
    let stream = dial.connect().await.map_err(later)?;
    let name = match stream.local_addr() {
        Ok(own) if own.is_ipv6() => format!("[IPv6:{}]", own.ip()),
        Ok(own) => format!("[{}]", own.ip()),
        Err(error) => return Err(lost(&error)),
    };
    match mail.tls {
        SmtpTls::None => Talk::greeted(stream, name).await?.submit(mail, letter).await,
        SmtpTls::Tls => {
            let stream = dial.secure(stream, Spoken::Nothing).await.map_err(later)?;
            Talk::greeted(stream, name).await?.submit(mail, letter).await
        }
        SmtpTls::Starttls => {
            let mut talk = Talk::greeted(stream, name).await?;
            if !talk.offers().await?.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
                return Err(never("it does not offer STARTTLS, and without it nothing is sent"));
            }
            talk.ask("STARTTLS", 220).await?;
            // What came before the handshake could be anybody's (RFC 3207, section 6).
            if !talk.stream.buffer().is_empty() {
                return Err(later("it went on talking where TLS should begin"));
            }
            let stream = dial.secure(talk.stream.into_inner(), Spoken::Nothing).await.map_err(later)?;
            Talk { stream: BufReader::new(stream), name: talk.name }.submit(mail, letter).await
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// After the server's first words.
    async fn greeted(stream: S, name: String) -> Step<Self> {
        let mut talk = Self { stream: BufReader::new(stream), name };
        let reply = talk.reply().await?;
        reply.wanted(220).map(|_| talk)
    }

    /// Says who we are; answers what the server can do.
    async fn offers(&mut self) -> Step<Vec<String>> {
        let reply = self.ask(&format!("EHLO {}", self.name), 250).await?;
        Ok(reply.lines.into_iter().skip(1).collect())
    }

    /// Hands the letter over.
    async fn submit(mut self, mail: &Mail, letter: &Letter) -> Step<()> {
        let offers = self.offers().await?;
        if let Some(login) = &mail.login {
            self.log_in(login, &offers).await?;
        }
        self.ask(&format!("MAIL FROM:<{}>", letter.from), 250).await?;
        self.recipients(&letter.to).await?;
        self.ask("DATA", 354).await?;
        self.write(&stuffed(&letter.text)).await?;
        self.reply().await?.wanted(250)?;
        // It has the letter; whether it says goodbye does not matter.
        let _ = self.write("QUIT\r\n").await;
        Ok(())
    }

    async fn log_in(&mut self, login: &Login, offers: &[String]) -> Step<()> {
        let offer = offers.iter().filter_map(|offer| offer.split_once([' ', '=']));
        let ways: Vec<_> = offer
            .filter(|(name, _)| name.eq_ignore_ascii_case("AUTH"))
            .flat_map(|(_, ways)| ways.split(' ').map(str::to_ascii_uppercase))
            .collect();
        let (user, password) = (login.user.reveal(), login.password.reveal());
        if ways.iter().any(|way| way == "PLAIN") {
            let both = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
            self.ask(&format!("AUTH PLAIN {both}"), 235).await.map(drop)
        } else if ways.iter().any(|way| way == "LOGIN") {
            self.ask("AUTH LOGIN", 334).await?;
            self.ask(&BASE64_STANDARD.encode(user), 334).await?;
            self.ask(&BASE64_STANDARD.encode(password), 235).await.map(drop)
        } else {
            Err(never("it offers no login by PLAIN or LOGIN over this connection; see smtp.tls"))
        }
    }

    /// Names who gets it. Those whom the server refuses for good do not; where it refuses one for now nobody does, so that
    /// all get it once.
    async fn recipients(&mut self, to: &[String]) -> Step<()> {
        let mut refused = None;
        let mut taken = 0;
        for one in to {
            match self.ask(&format!("RCPT TO:<{one}>"), 250).await {
                Ok(_) => taken += 1,
                Err(Outcome::Refused { why }) => refused = Some(why),
                Err(other) => return Err(other),
            }
        }
        match refused {
            Some(why) if taken == 0 => Err(never(why)),
            _ => Ok(()),
        }
    }

    /// Says something, and wants a reply of a number. What was said is in no error: it may be a password.
    async fn ask(&mut self, line: &str, wanted: u16) -> Step<Reply> {
        self.write(&format!("{line}\r\n")).await?;
        self.reply().await?.wanted(wanted)
    }

    async fn write(&mut self, text: &str) -> Step<()> {
        self.stream.write_all(text.as_bytes()).await.map_err(|error| lost(&error))?;
        self.stream.flush().await.map_err(|error| lost(&error))
    }

    async fn reply(&mut self) -> Step<Reply> {
        let (mut limited, mut lines) = ((&mut self.stream).take(REPLY_MAX), Vec::new());
        loop {
            let mut line = Vec::new();
            limited.read_until(b'\n', &mut line).await.map_err(|error| lost(&error))?;
            if !line.ends_with(b"\n") {
                return Err(later("it closed the connection in the middle of its words, or never ends them"));
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let Some(code @ 200..=599) = code else {
                return Err(later("it does not speak SMTP"));
            };
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }
}

impl Reply {
    /// Itself, where it has the number that is wanted (251 is a kind of 250). From 500 on a refusal is for good.
    fn wanted(self, code: u16) -> Step<Self> {
        if self.code == code || (code == 250 && self.code == 251) {
            return Ok(self);
        }
        let why = format!("it answered {}: {}", self.code, told_by(&self.lines.join(" ")));
        Err(if self.code >= 500 { never(why) } else { later(why) })
    }
}

/// Text with dots doubled where they begin a line, and its end (RFC 5321, section 4.5.2).
fn stuffed(text: &str) -> String {
    let first = if text.starts_with('.') { "." } else { "" };
    let end = if text.ends_with("\r\n") { ".\r\n" } else { "\r\n.\r\n" };
    format!("{first}{}{end}", text.replace("\r\n.", "\r\n.."))
}

fn later(why: impl Into<String>) -> Outcome {
    Outcome::Retry { after: None, why: why.into() }
}

/// What the system says of the connection.
fn lost(error: &io::Error) -> Outcome {
    later(words(error))
}

fn never(why: impl Into<String>) -> Outcome {
    Outcome::Refused { why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_alone_ends_nothing() {
        assert_eq!(stuffed(".a\r\n.\r\nb"), "..a\r\n..\r\nb\r\n.\r\n");
        assert_eq!(stuffed("a\r\n"), "a\r\n.\r\n");
    }
}
