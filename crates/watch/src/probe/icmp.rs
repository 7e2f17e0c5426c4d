//! Echo requests ("ping", RFC 792 and RFC 4443): over a datagram socket, which the system gives to whom
//! `net.ipv4.ping_group_range` allows, else over a raw one, which takes CAP_NET_RAW.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use super::tcp::{self, Host};
use super::{AGAIN, Told};
use crate::condition::Found;

/// Largest packet read: ours, and an IPv4 header with all its options.
const PACKET_MAX: usize = 128;
/// Bytes that stand in a request for its answer to be known by; nobody guesses them.
const TOKEN: usize = 16;
/// Type, code, checksum, id and sequence.
const HEAD: usize = 8;

/// Asks until an answer comes.
pub(super) async fn ask(host: &Host, found: &mut Found) -> Told<()> {
    let addresses = host.resolve(0, found).await?;
    let ip = addresses.first().ok_or("the host has no address")?.ip();
    found.ip = Some(ip);
    let socket = socket(ip)?;
    let mut token = [0; TOKEN];
    getrandom::fill(&mut token).map_err(|error| format!("no random number: {error}"))?;
    let failed = |error: io::Error| format!("could not reach {host}: {}", tcp::words(&error));
    let start = Instant::now();
    let mut answer = [0; PACKET_MAX];
    for sequence in 0..=u16::MAX {
        socket.send(&request(ip, sequence, &token)).await.map_err(failed)?;
        let sent = Instant::now();
        while let Ok(received) = timeout(AGAIN.saturating_sub(sent.elapsed()), socket.recv(&mut answer)).await
        {
            if is_answer(ip, &answer[..received.map_err(failed)?], &token) {
                found.phases.first_byte = start.elapsed();
                found.connected = true;
                return Ok(());
            }
        }
    }
    Err(format!("{host} did not answer"))
}

fn socket(ip: IpAddr) -> Told<UdpSocket> {
    let (domain, protocol) = match ip {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let open = |kind| {
        let socket = Socket::new(domain, kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        socket.connect(&SocketAddr::new(ip, 0).into())?;
        // The calls on a connected socket are the same for every kind of datagram.
        UdpSocket::from_std(socket.into())
    };
    open(Type::DGRAM).or_else(|datagram| open(Type::RAW).map_err(|raw| refused(&datagram, &raw)))
}

/// Why there is no socket, and what to do.
fn refused(datagram: &io::Error, raw: &io::Error) -> String {
    let is_permission = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    if is_permission(raw) {
        return "this program may not send ICMP: let its group in by the system setting net.ipv4.ping_group_range \
                (sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"), or give it CAP_NET_RAW"
            .into();
    }
    let error = if is_permission(datagram) { raw } else { datagram };
    format!("could not send: {}", tcp::words(error))
}

fn request(ip: IpAddr, sequence: u16, token: &[u8; TOKEN]) -> [u8; HEAD + TOKEN] {
    let mut packet = [0; HEAD + TOKEN];
    packet[0] = if ip.is_ipv4() { 8 } else { 128 };
    // The id: a datagram socket writes its own.
    packet[4..6].copy_from_slice(&token[..2]);
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[HEAD..].copy_from_slice(token);
    // The checksum of ICMPv6 covers addresses too, and the system writes it (RFC 3542, section 3.1).
    if ip.is_ipv4() {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// RFC 1071.
fn checksum(packet: &[u8]) -> u16 {
    let pair = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = packet.chunks(2).map(pair).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Whether a packet is the answer. A raw socket sees every host's, and before ICMP the header of IPv4.
fn is_answer(ip: IpAddr, packet: &[u8], token: &[u8; TOKEN]) -> bool {
    let head = match packet.first() {
        Some(first) if ip.is_ipv4() && first >> 4 == 4 => usize::from(first & 0xf) * 4,
        _ => 0,
    };
    let reply = if ip.is_ipv4() { 0 } else { 129 };
    packet.get(head..).is_some_and(|icmp| {
        icmp.len() >= HEAD + TOKEN && icmp[..2] == [reply, 0] && icmp[HEAD..].starts_with(token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn a_request_has_a_checksum_that_adds_up() {
        let packet = request(V4, 7, &[0xab; TOKEN]);
        assert_eq!((packet[0], checksum(&packet)), (8, 0));
        assert_eq!(request(V6, 7, &[0xab; TOKEN])[..4], [128, 0, 0, 0]);
    }

    #[test]
    fn only_the_answer_to_the_request_is_one() {
        let token = [7; TOKEN];
        let answer = |kind: u8, token: [u8; TOKEN]| [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &token].concat();
        assert!(is_answer(V4, &answer(0, token), &token));
        assert!(is_answer(V6, &answer(129, token), &token));
        let with_head = [&[0x45; 20][..], &answer(0, token)].concat();
        assert!(is_answer(V4, &with_head, &token));
        assert!(!is_answer(V4, &answer(8, token), &token));
        assert!(!is_answer(V4, &answer(0, [8; TOKEN]), &token));
        assert!(!is_answer(V4, &answer(0, token)[..20], &token));
        assert!(!is_answer(V4, &[0x4f], &token) && !is_answer(V6, &[], &token));
    }

    #[test]
    fn who_may_not_ping_is_told_what_to_do() {
        let of = io::Error::from;
        let denied = refused(&of(io::ErrorKind::PermissionDenied), &of(io::ErrorKind::PermissionDenied));
        assert!(denied.contains("net.ipv4.ping_group_range") && denied.contains("CAP_NET_RAW"), "{denied}");
        let other = refused(&of(io::ErrorKind::PermissionDenied), &of(io::ErrorKind::HostUnreachable));
        assert_eq!(other, "could not send: host unreachable");
    }
}
