//! Messages of a client on `/ws/mcp`, one a line, up to where each is answered by the hub or by a built-in server.
//! What comes back is JSON, each answer is to a message that came, and every request gets exactly one.
#![no_main]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use libfuzzer_sys::fuzz_target;
use puerto_core::def::HubDef;
use puerto_core::{Recorder, View};
use puerto_mcp::builtin::{About, Annotations, Answer, Builtin, CallError, Contents, Tool};
use puerto_mcp::door::duplex::Duplex;
use puerto_mcp::frame::{Frame, Kind, batch};
use puerto_mcp::hub::{Build, Hub};
use puerto_mcp::upstream::pool::Connector;
use puerto_mcp::upstream::{Reach, Rules};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages of one conversation.
const MESSAGES_MAX: usize = 12;
/// Longer than anything may take. The clock is ours and goes on by itself when nobody works.
const EVER: Duration = Duration::from_secs(3600);

thread_local! {
    static WORLD: (Runtime, Arc<Hub>) = world();
}

fuzz_target!(|lines: &[u8]| {
    WORLD.with(|(runtime, hub)| runtime.block_on(conversation(hub, lines)));
});

/// A server that says what it was told.
struct Echo;

impl Builtin for Echo {
    fn about(&self) -> About {
        About { name: "echo", title: "Echo".into(), instructions: "Says what it was told.".into() }
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool {
            name: "say".into(),
            title: "Say".into(),
            description: "Says it.".into(),
            input_schema: json!({ "type": "object" }),
            output_schema: Some(json!({ "type": "object" })),
            annotations: Annotations {
                read_only_hint: true,
                destructive_hint: false,
                idempotent_hint: true,
                open_world_hint: false,
            },
        }]
    }

    fn call<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a RawValue,
        _: CancellationToken,
    ) -> BoxFuture<'a, Result<Answer, CallError>> {
        let known = (tool == "say").then(|| Answer::from(arguments.to_owned()));
        Box::pin(ready(known.ok_or(CallError::Unknown)))
    }

    fn read<'a>(
        &'a self,
        _: &'a str,
        _: CancellationToken,
    ) -> BoxFuture<'a, Result<Vec<Contents>, CallError>> {
        Box::pin(ready(Err(CallError::Unknown)))
    }
}

fn world() -> (Runtime, Arc<Hub>) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let def: HubDef = serde_json::from_value(json!({
        "version": "1.0.0",
        "tenants": { "default": { "servers": { "echo": { "builtin": "monitor" } } } },
    }))
    .expect("a configuration");
    let rules = Rules {
        auto_start: true,
        max_retries: 1,
        startup: EVER,
        idle: Duration::ZERO,
        message_max: 1 << 20,
        connector: Connector::new(),
        inherited: Vec::new(),
    };
    let hub = runtime.block_on(async {
        Hub::start(Build {
            def: &def,
            view: View::new(def.tenants.clone()),
            rules,
            reach: &|_, _| {
                let made = || Ok(Arc::new(Echo) as Arc<dyn Builtin>);
                Ok(Reach::Builtin(Box::new(move |_| Box::pin(ready(made())))))
            },
            remembered: Vec::new(),
            save: Arc::new(|_, _, _| {}),
            recorder: Recorder::new(1).0,
            cursor_key: [7; 32],
        })
    });
    (runtime, hub)
}

async fn conversation(hub: &Arc<Hub>, lines: &[u8]) {
    let endpoint = hub.endpoint(None, None, None).expect("the tenant is there");
    let (mut client, mut messages) = Duplex::open(hub.clone(), endpoint);
    // Somebody reads all the time, as a socket does.
    let (to, mut heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            let _ = to.send(message.whole());
        }
    });
    let mut asked = Asked::default();
    for line in lines.split(|b| *b == b'\n').take(MESSAGES_MAX) {
        let line = Bytes::copy_from_slice(line);
        asked.note(&line);
        client.take(line).await;
    }
    while asked.waits() {
        match tokio::time::timeout(EVER, heard.recv()).await {
            Ok(Some(message)) => asked.answered(&message),
            _ => panic!("a request was not answered: {:?}", asked.ids),
        }
    }
    client.leave().await;
    while let Some(message) = heard.recv().await {
        asked.answered(&message);
    }
}

/// What may be answered, by the id as written.
#[derive(Default)]
struct Asked {
    ids: HashMap<Vec<u8>, Answers>,
    /// Who cancels gets no answer, or one that was under way.
    cancels: bool,
}

/// Answers that may still come, and those of them that must.
#[derive(Debug, Default)]
struct Answers {
    may: usize,
    must: usize,
}

impl Asked {
    fn note(&mut self, line: &Bytes) {
        let is_batch = line.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
        let items = batch(line, usize::MAX).unwrap_or_else(|_| vec![line.clone()]);
        for frame in items.into_iter().filter_map(|item| Frame::parse(item).ok()) {
            let method = frame.method_name();
            self.cancels |= method == "notifications/cancelled";
            if frame.id.is_some() {
                // A batch is refused as one but in a session of its revision; a subscription is answered at its end.
                let must = frame.kind() == Kind::Request && method != "subscriptions/listen" && !is_batch;
                let answers = self.ids.entry(frame.raw(frame.id).to_vec()).or_default();
                answers.may += 1;
                answers.must += usize::from(must);
            }
        }
    }

    fn waits(&self) -> bool {
        !self.cancels && self.ids.values().any(|answers| answers.must > 0)
    }

    fn answered(&mut self, message: &Bytes) {
        let shown = String::from_utf8_lossy(message);
        let value: Value = serde_json::from_slice(message).unwrap_or_else(|e| panic!("{e}: {shown}"));
        assert_eq!(value["jsonrpc"], "2.0", "{shown}");
        let frame = Frame::parse(message.clone()).unwrap_or_else(|e| panic!("{e}: {shown}"));
        if frame.kind() != Kind::Response || !frame.id.is_some() {
            return;
        }
        let left = self.ids.get_mut(&*frame.raw(frame.id)).filter(|left| left.may > 0);
        let left = left.unwrap_or_else(|| panic!("nobody asked: {shown}"));
        left.may -= 1;
        left.must = left.must.saturating_sub(1);
    }
}
