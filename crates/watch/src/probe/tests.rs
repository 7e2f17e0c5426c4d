//! Checks of real listeners, good and bad ones. The servers are in the test, on free ports.

mod dns;
mod grpc;
mod http;
pub(crate) mod tls;

use std::future::Future;
use std::net::SocketAddr;

use puerto_core::def::ServiceDef;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::health::Verdict;

/// A definition with the members that are given.
fn def(members: Value) -> ServiceDef {
    let mut def = json!({ "name": "s", "timeout": "4s" });
    let Value::Object(members) = members else { panic!("an object") };
    def.as_object_mut().unwrap().extend(members);
    serde_json::from_value(def).unwrap()
}

fn target(members: Value) -> Target {
    Target::new(&def(members)).unwrap()
}

/// Makes one check.
async fn probe(members: Value) -> Found {
    Prober::new().probe(&target(members)).await
}

/// Makes one check and judges it.
async fn verdict(members: Value) -> (Verdict, Found) {
    let target = target(members);
    let found = Prober::new().probe(&target).await;
    (target.judge(&found).0, found)
}

fn error(found: &Found) -> &str {
    found.error.as_deref().unwrap_or("no error")
}

/// A server that does with each connection what it is told.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A port where nobody listens.
async fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_port_is_open_or_it_is_not() {
    let open = server(|stream| async move { drop(stream) }).await;
    let (judged, found) = verdict(json!({ "url": format!("tcp://{open}") })).await;
    assert_eq!((judged, found.connected, found.error), (Verdict::Good, true, None));
    assert_eq!(found.ip, Some([127, 0, 0, 1].into()));
    assert!(found.phases.connect > Duration::ZERO && found.response_time >= found.phases.connect);

    let closed = closed().await;
    let (judged, found) = verdict(json!({ "url": format!("tcp://{closed}") })).await;
    assert_eq!((judged, found.connected), (Verdict::Bad, false));
    assert_eq!(error(&found), format!("could not connect to {closed}: connection refused"));
    // Who wants a port to be closed is right then.
    let wanted = json!({ "url": format!("tcp://{closed}"), "conditions": ["[CONNECTED] == false"] });
    assert_eq!(verdict(wanted).await.0, Verdict::Good);

    let named = probe(json!({ "url": format!("tcp://localhost:{}", open.port()) })).await;
    assert!(named.connected && named.phases.name > Duration::ZERO, "{named:?}");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_told_of() {
    let found = probe(json!({ "url": "tcp://nowhere.invalid:80" })).await;
    let told = error(&found);
    assert!(
        told.starts_with("could not find the address of nowhere.invalid: ")
            || told.starts_with("no connection"),
        "{told}"
    );
}

#[tokio::test]
async fn hosts_are_pinged_where_that_is_permitted() {
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let (judged, found) = verdict(json!({ "url": format!("icmp://{host}") })).await;
        match found.error {
            None => assert_eq!((judged, found.connected), (Verdict::Good, true), "{host}"),
            Some(told) => assert!(told.contains("CAP_NET_RAW") || host == "[::1]", "{host}: {told}"),
        }
    }
}

#[tokio::test]
async fn checks_of_one_host_wait_for_each_other() {
    let open = server(|stream| async move { drop(stream) }).await;
    let targets: Vec<_> =
        ["tcp", "http"].map(|scheme| target(json!({ "url": format!("{scheme}://{open}") }))).into();
    let prober = Prober::new();
    let mut checks: Vec<_> =
        targets.iter().cycle().take(40).map(|target| Box::pin(prober.probe(target))).collect();
    let mut under_way = Vec::new();
    poll_fn(|cx| {
        checks.retain_mut(|check| check.as_mut().poll(cx).is_pending());
        under_way.push(CHECKS_MAX - prober.all.available_permits());
        if checks.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!(under_way.iter().max(), Some(&4));
    assert_eq!((under_way.last(), prober.hosts().len()), (Some(&0), 0));
}

#[test]
fn a_definition_becomes_a_target_or_says_why_not() {
    let faults = |members: Value| {
        let faults = Target::new(&def(members)).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
    };
    let url = |url: &str| faults(json!({ "url": url }));
    assert!(
        url("ftp://h").starts_with("url: services are not reached by this scheme; write one of http://, ")
    );
    assert!(url("example.com").starts_with("url: there is no \"scheme://\" in it; write one of "));
    assert_eq!(url("tcp://h"), "url: it names no port; write it as in \"tcp://host:port\"");
    assert_eq!(
        url("tcp://h:99999"),
        "url: its port is none from 1 to 65535; write it as in \"tcp://host:port\""
    );
    assert_eq!(url("icmp://h/x"), "url: its host cannot be read; write it as in \"icmp://host\"");
    assert!(url("mcp://only").starts_with("url: it names no tenant and server"));
    assert!(url("push://x").starts_with("url: there is something behind"));
    assert!(url("dns://127.0.0.1").starts_with("dns: nothing says what the name server is asked"));
    assert!(
        url("http://user:s3cret@/").starts_with("url: it") && !url("http://user:s3cret@/").contains("s3cret")
    );
    let long = faults(json!({ "url": "tcp://h:1", "interval": "2s", "timeout": "3s" }));
    assert!(long.starts_with("timeout: 3s is longer than the interval of 2s"), "{long}");
    let several = faults(json!({
        "url": "http://h", "method": "G T", "headers": { "a b": "x", "X": "s3cret\n", "Connection": "x" },
        "conditions": ["[STATUS] == 200", "[STATE] == 200"], "tls": { "insecure": true, "ca_file": "x" },
    }));
    for part in [
        "method: it is no method",
        "headers: \"a b\" is no name of a header",
        "headers: the value of \"X\" is none",
        "headers: \"Connection\" is written by Puerto itself",
        "conditions: a check finds no [STATE]",
    ] {
        assert!(several.contains(part), "{part}: {several}");
    }
    assert!(!several.contains("s3cret"));

    let server = target(json!({ "url": "mcp://default/files" }));
    assert_eq!(
        server.server().map(|(tenant, server)| format!("{tenant}/{server}")),
        Some("default/files".into())
    );
    assert!(target(json!({ "url": "push://" })).is_push());
    let usual = |url| target(json!({ "url": url })).conditions()[0].as_str().to_owned();
    assert_eq!(usual("https://h"), "[STATUS] < 400");
    assert_eq!(usual("tcp://[::1]:80"), "[CONNECTED] == true");
    let asked = target(json!({ "url": "dns://h", "dns": { "name": "example.com" } }));
    assert_eq!(asked.conditions()[0].as_str(), "[DNS_RCODE] == NOERROR");
    for (_, example) in SCHEMES {
        let example = example.replace("port", "1");
        target(json!({ "url": example, "dns": { "name": "example.com" } }));
    }
}
