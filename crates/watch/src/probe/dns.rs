//! Questions to a name server (RFC 1035): over UDP, and over TCP where the answer was cut.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use puerto_core::def::DnsType;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use super::tcp::{self, Address};
use super::{AGAIN, Told};
use crate::condition::Found;

/// Largest answer over UDP. We announce no larger ones than 512 bytes; some servers send them all the same.
const ANSWER_MAX: usize = 4096;

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    server: Address,
    kind: TYPE,
    name: Box<str>,
    /// The question as it is sent; the first two bytes are its id.
    question: Box<[u8]>,
}

impl Plan {
    /// Of a name.
    pub(super) fn new(server: Address, name: &str, kind: DnsType) -> Told<Self> {
        let kind = match kind {
            DnsType::A => TYPE::A,
            DnsType::Aaaa => TYPE::AAAA,
            DnsType::Cname => TYPE::CNAME,
            DnsType::Mx => TYPE::MX,
            DnsType::Ns => TYPE::NS,
            DnsType::Txt => TYPE::TXT,
            DnsType::Srv => TYPE::SRV,
            DnsType::Ptr => TYPE::PTR,
            DnsType::Soa => TYPE::SOA,
        };
        let invalid = |_| format!("{name:?} is no name that DNS can carry");
        let mut packet = Packet::new_query(0);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let asked = Name::new(name).map_err(invalid)?;
        packet.questions.push(Question::new(asked, kind.into(), CLASS::IN.into(), false));
        let question = packet.build_bytes_vec().map_err(invalid)?.into();
        Ok(Self { server, kind, name: name.into(), question })
    }

    /// The server that is asked.
    pub(super) fn server(&self) -> &Address {
        &self.server
    }

    /// Asks, and notes the code and the answers.
    pub(super) async fn ask(&self, found: &mut Found) -> Told<()> {
        let addresses = self.server.host.resolve(self.server.port, found).await?;
        let address = *addresses.first().ok_or("the server has no address")?;
        found.ip = Some(address.ip());
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|error| format!("no random number: {error}"))?;
        let mut question = self.question.to_vec();
        question[..2].copy_from_slice(&id);
        let answer = self.over_udp(address, &question, found).await?;
        let cut = Packet::parse(&answer).is_ok_and(|packet| packet.has_flags(PacketFlag::TRUNCATION));
        let answer = if cut { self.over_tcp(address, &question).await? } else { answer };
        let packet = Packet::parse(&answer).map_err(|error| format!("the answer cannot be read: {error}"))?;
        if !self.answers(&packet, &question) {
            return Err("the answer is to another question".into());
        }
        found.connected = true;
        found.dns_rcode = Some(code(packet.rcode()));
        let answers = packet.answers.iter().filter(|record| record.rdata.type_code() == self.kind);
        let answers: Vec<_> = answers.map(|record| shown(&record.rdata)).collect();
        found.body = serde_json::to_vec(&answers).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// What is no answer to this question may come from anybody, and is passed over.
    async fn over_udp(&self, address: SocketAddr, question: &[u8], found: &mut Found) -> Told<Vec<u8>> {
        let failed =
            |error: std::io::Error| format!("could not ask {} over UDP: {}", self.server, tcp::words(&error));
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await.map_err(failed)?;
        socket.connect(address).await.map_err(failed)?;
        let start = Instant::now();
        let mut answer = vec![0; ANSWER_MAX];
        loop {
            socket.send(question).await.map_err(failed)?;
            let sent = Instant::now();
            while let Ok(received) =
                timeout(AGAIN.saturating_sub(sent.elapsed()), socket.recv(&mut answer)).await
            {
                let length = received.map_err(failed)?;
                // One that cannot be read is told of, where it is to this question.
                let is_ours = match Packet::parse(&answer[..length]) {
                    Ok(packet) => self.answers(&packet, question),
                    Err(_) => answer[..length].starts_with(&question[..2]),
                };
                if is_ours {
                    found.phases.first_byte = start.elapsed();
                    answer.truncate(length);
                    return Ok(answer);
                }
                found.error = Some("what came was no answer to the question".into());
            }
        }
    }

    async fn over_tcp(&self, address: SocketAddr, question: &[u8]) -> Told<Vec<u8>> {
        let failed = |error: std::io::Error| {
            format!("the answer over UDP was cut, and over TCP there was none: {}", tcp::words(&error))
        };
        let mut stream = TcpStream::connect(address).await.map_err(failed)?;
        let length = u16::try_from(question.len()).unwrap_or(u16::MAX);
        stream.write_all(&[&length.to_be_bytes(), question].concat()).await.map_err(failed)?;
        let length = stream.read_u16().await.map_err(failed)?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.map_err(failed)?;
        Ok(answer)
    }

    /// Whether it is an answer, to this question.
    fn answers(&self, packet: &Packet<'_>, question: &[u8]) -> bool {
        let asked = |one: &Question<'_>| {
            Name::new(&self.name).is_ok_and(|name| one.qname == name) && one.qtype == QTYPE::TYPE(self.kind)
        };
        packet.id().to_be_bytes() == question[..2]
            && packet.has_flags(PacketFlag::RESPONSE)
            // A server that does not even read the question may leave it out (RFC 1035, section 4.1.1).
            && match &packet.questions[..] {
                [one] => asked(one),
                [] => packet.rcode() != RCODE::NoError,
                _ => false,
            }
    }
}

/// The name of a code (IANA, DNS RCODEs).
fn code(code: RCODE) -> &'static str {
    match code {
        RCODE::NoError => "NOERROR",
        RCODE::FormatError => "FORMERR",
        RCODE::ServerFailure => "SERVFAIL",
        RCODE::NameError => "NXDOMAIN",
        RCODE::NotImplemented => "NOTIMP",
        RCODE::Refused => "REFUSED",
        RCODE::YXDOMAIN => "YXDOMAIN",
        RCODE::YXRRSET => "YXRRSET",
        RCODE::NXRRSET => "NXRRSET",
        RCODE::NOTAUTH => "NOTAUTH",
        RCODE::NOTZONE => "NOTZONE",
        RCODE::BADVERS => "BADVERS",
        RCODE::Reserved => "RESERVED",
    }
}

/// A record as zone files have it.
fn shown(data: &RData<'_>) -> String {
    match data {
        RData::A(a) => Ipv4Addr::from(a.address).to_string(),
        RData::AAAA(a) => Ipv6Addr::from(a.address).to_string(),
        RData::CNAME(name) => name.0.to_string(),
        RData::NS(name) => name.0.to_string(),
        RData::PTR(name) => name.0.to_string(),
        RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target),
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            soa.mname, soa.rname, soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum
        ),
        RData::TXT(text) => String::try_from(text.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}
