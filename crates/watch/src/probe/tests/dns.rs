//! Of name servers.

use puerto_core::def::DnsType;
use simple_dns::rdata::{A, AAAA, MX, RData, SOA, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use super::*;

/// How the server misbehaves, by the first label of the name that is asked for.
fn answer(question: &[u8], over_tcp: bool) -> Vec<Vec<u8>> {
    let asked = Packet::parse(question).unwrap();
    let name = asked.questions[0].qname.clone();
    let mut reply = asked.clone().into_reply();
    reply.answers.extend(records(&asked));
    let text = name.to_string();
    let mut packets = Vec::new();
    match text.split('.').next().unwrap() {
        "none" => *reply.rcode_mut() = RCODE::NameError,
        "refused" => {
            *reply.rcode_mut() = RCODE::Refused;
            reply.questions.clear();
        }
        "cut" if !over_tcp => {
            reply.set_flags(PacketFlag::TRUNCATION);
            reply.answers.clear();
        }
        "forged" => {
            let mut forged = reply.clone();
            forged.set_id(asked.id().wrapping_add(1));
            packets.push(forged.build_bytes_vec().unwrap());
            let mut other = reply.clone();
            other.questions[0].qname = Name::new("other.example").unwrap();
            packets.push(other.build_bytes_vec().unwrap());
        }
        "wrong" => reply.set_id(asked.id().wrapping_add(1)),
        "garbage" => return vec![[&question[..2], b"xx"].concat()],
        _ => {}
    }
    packets.push(reply.build_bytes_vec_compressed().unwrap());
    packets
}

/// Two of each kind, where two are of use, behind an alias.
fn records<'a>(asked: &Packet<'a>) -> Vec<ResourceRecord<'a>> {
    let name = |text: &'static str| Name::new(text).unwrap();
    let data = match asked.questions[0].qtype {
        kind if kind == TYPE::A.into() => {
            vec![RData::A(A { address: 0x0a00_0001 }), RData::A(A { address: 0x0a00_0002 })]
        }
        kind if kind == TYPE::AAAA.into() => vec![RData::AAAA(AAAA { address: 1 })],
        kind if kind == TYPE::MX.into() => {
            vec![RData::MX(MX { preference: 10, exchange: name("mx.example") })]
        }
        kind if kind == TYPE::TXT.into() => {
            vec![RData::TXT(TXT::new().with_string("v=spf1 ").unwrap().with_string("-all").unwrap())]
        }
        kind if kind == TYPE::SRV.into() => {
            vec![RData::SRV(SRV { priority: 1, weight: 2, port: 443, target: name("srv.example") })]
        }
        kind if kind == TYPE::SOA.into() => vec![RData::SOA(SOA {
            mname: name("ns.example"),
            rname: name("admin.example"),
            serial: 7,
            refresh: 1,
            retry: 2,
            expire: 3,
            minimum: 4,
        })],
        kind if kind == TYPE::NS.into() => vec![RData::NS(name("ns.example").into())],
        kind if kind == TYPE::PTR.into() => vec![RData::PTR(name("ptr.example").into())],
        _ => vec![],
    };
    let alias = RData::CNAME(name("alias.example").into());
    let record = |data| ResourceRecord::new(asked.questions[0].qname.clone(), CLASS::IN, 60, data);
    std::iter::once(alias).chain(data).map(record).collect()
}

/// A name server over UDP and TCP, on one port.
async fn names() -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // Somebody else may have the port of TCP.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut question).await {
            for packet in answer(&question[..length], false) {
                udp.send_to(&packet, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let mut question = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut question).await.unwrap();
            let packet = answer(&question, true).remove(0);
            stream.write_u16(packet.len() as u16).await.unwrap();
            stream.write_all(&packet).await.unwrap();
        }
    });
    address
}

fn asking(at: SocketAddr, name: &str, kind: DnsType) -> Value {
    json!({ "url": format!("dns://{at}"), "dns": { "name": name, "type": kind } })
}

#[tokio::test]
async fn each_kind_of_record_is_shown_as_text() {
    let at = names().await;
    for (kind, shown) in [
        (DnsType::A, r#"["10.0.0.1","10.0.0.2"]"#),
        (DnsType::Aaaa, r#"["::1"]"#),
        (DnsType::Cname, r#"["alias.example"]"#),
        (DnsType::Mx, r#"["10 mx.example"]"#),
        (DnsType::Ns, r#"["ns.example"]"#),
        (DnsType::Txt, r#"["v=spf1 -all"]"#),
        (DnsType::Srv, r#"["1 2 443 srv.example"]"#),
        (DnsType::Ptr, r#"["ptr.example"]"#),
        (DnsType::Soa, r#"["ns.example admin.example 7 1 2 3 4"]"#),
    ] {
        let found = probe(asking(at, "www.example", kind)).await;
        assert_eq!((found.error.as_deref(), String::from_utf8_lossy(&found.body).as_ref()), (None, shown));
    }
    let mut asked = asking(at, "www.example", DnsType::A);
    asked["conditions"] = json!([
        "[DNS_RCODE] == NOERROR",
        "len([BODY]) == 2",
        "[BODY][0] == 10.0.0.1",
        "[BODY] == pat(*10.0.0.2*)",
        "has([BODY][2]) == false",
        "[CONNECTED] == true",
    ]);
    let (judged, found) = verdict(asked).await;
    assert_eq!(judged, Verdict::Good, "{found:?}");
    assert_eq!(found.ip, Some([127, 0, 0, 1].into()));
}

#[tokio::test]
async fn an_answer_without_records_is_one_too() {
    let at = names().await;
    for (name, code) in [("none.example", "NXDOMAIN"), ("refused.example", "REFUSED")] {
        let found = probe(asking(at, name, DnsType::Txt)).await;
        assert_eq!((found.dns_rcode, found.connected, found.error), (Some(code), true, None), "{name}");
    }
}

#[tokio::test]
async fn what_was_cut_is_asked_for_over_tcp() {
    let found = probe(asking(names().await, "cut.example", DnsType::A)).await;
    assert_eq!((found.error, found.body.as_slice()), (None, &br#"["10.0.0.1","10.0.0.2"]"#[..]));
}

#[tokio::test]
async fn answers_to_other_questions_are_passed_over() {
    let at = names().await;
    let found = probe(asking(at, "forged.example", DnsType::A)).await;
    assert_eq!((found.error, found.dns_rcode), (None, Some("NOERROR")));
    let mut wrong = asking(at, "wrong.example", DnsType::A);
    wrong["timeout"] = "300ms".into();
    let found = probe(wrong).await;
    assert_eq!(error(&found), "no answer within 300 ms: what came was no answer to the question");
    assert!(!found.connected);
    let found = probe(asking(at, "garbage.example", DnsType::A)).await;
    assert!(error(&found).starts_with("the answer cannot be read: "), "{}", error(&found));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of() {
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let found = probe(asking(closed, "www.example", DnsType::A)).await;
    assert_eq!(error(&found), format!("could not ask {closed} over UDP: connection refused"));
}
