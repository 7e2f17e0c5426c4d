//! The index of a search: BM25F over what tools say of themselves (Robertson and Zaragoza, "The Probabilistic Relevance
//! Framework: BM25 and Beyond", 2009, section 3.6), and the same over what the tools of a server say together. Built from a
//! catalog when it is first searched, and thrown away with it.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use puerto_core::ServerName;
use serde_json::{Value, json};

use crate::catalog::Tool;
use crate::search::words::{asked, forms, words};

/// How soon more of the same word stops counting (the usual value).
const K1: f32 = 1.2;
/// How much it counts that a tool's server fits the request. This and [`SHARED_WEIGHT`] were chosen on the requests in
/// `crates/puerto/tests/search`.
const SERVER_WEIGHT: f32 = 1.0;
/// How much a word still counts for a tool when all tools of its server have it: it tells none from another.
const SHARED_WEIGHT: f32 = 0.5;
/// How much what is said by a typical tool of a server counts for the server.
const SAID_WEIGHT: f32 = 4.0;

/// A part of a definition: how much a word in it counts, and how much its length takes away from that.
struct Field {
    weight: f32,
    length: f32,
}

/// Name, server, title, description, arguments. Names say most; long descriptions tend to name everything.
const FIELDS: [Field; 5] = [
    Field { weight: 3.0, length: 0.3 },
    Field { weight: 2.5, length: 0.3 },
    Field { weight: 2.0, length: 0.3 },
    Field { weight: 1.0, length: 0.6 },
    Field { weight: 0.4, length: 0.6 },
];

/// Tools that can be searched.
#[derive(Debug, Default)]
pub struct Index {
    tools: Vec<Found>,
    words: Postings,
    /// What the tools of a server say together: a request often names the trade and not the act.
    servers: Postings,
}

/// A tool that can be found.
#[derive(Debug)]
pub struct Found {
    /// Its name on the wire.
    pub name: String,
    server: u32,
    definition: Bytes,
}

/// How often a text says each word, by what counts.
type Counts = HashMap<String, f32>;

/// Each word, with the texts that have it and how much it counts there.
#[derive(Debug, Default)]
struct Postings {
    texts: usize,
    of: HashMap<String, Vec<(u32, f32)>>,
}

impl Postings {
    /// Adds a text. `share` is how much of a word's count the text has for itself.
    fn add(&mut self, text: u32, counts: Counts, share: impl Fn(&str) -> f32) {
        self.texts += 1;
        for (word, count) in counts {
            let count = share(&word) * saturated(count);
            self.of.entry(word).or_default().push((text, count));
        }
    }

    /// How well each text fits: for every word asked, the best of what stands for it counts.
    fn scores(&self, asked: &[Vec<(String, f32)>]) -> HashMap<u32, f32> {
        let mut scores: HashMap<u32, f32> = HashMap::new();
        for word in asked {
            let mut best: HashMap<u32, f32> = HashMap::new();
            for (form, weight) in word {
                let Some(postings) = self.of.get(form) else { continue };
                let rare = rarity(self.texts as f32, postings.len() as f32);
                for (text, count) in postings {
                    let score = best.entry(*text).or_default();
                    *score = score.max(weight * rare * count);
                }
            }
            best.into_iter().for_each(|(text, score)| *scores.entry(text).or_default() += score);
        }
        scores
    }
}

fn saturated(count: f32) -> f32 {
    count / (K1 + count)
}

/// How telling a word is: the fewer texts have it, the more.
fn rarity(all: f32, having: f32) -> f32 {
    (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
}

/// What the tools of one server say together.
#[derive(Default)]
struct Server {
    tools: Vec<(Tool, Counts)>,
}

impl Server {
    fn said(&self) -> Counts {
        let mut said = Counts::new();
        // A server with many tools says no more of itself than one with few.
        let each = SAID_WEIGHT / (self.tools.len() as f32).sqrt();
        for (word, count) in self.tools.iter().flat_map(|(_, counts)| counts) {
            *said.entry(word.clone()).or_default() += each * saturated(*count);
        }
        said
    }
}

impl Index {
    /// Over these tools.
    pub fn build(tools: Vec<Tool>) -> Self {
        let all: Vec<_> = tools.iter().map(fields).collect();
        let mean: [f32; FIELDS.len()] = std::array::from_fn(|field| {
            let words: usize = all.iter().map(|fields| fields[field].len()).sum();
            (words as f32 / all.len().max(1) as f32).max(1.0)
        });
        let mut servers: BTreeMap<ServerName, Server> = BTreeMap::new();
        for (tool, fields) in tools.into_iter().zip(all) {
            let server = servers.entry(tool.target.server.clone()).or_default();
            server.tools.push((tool, counts(fields, &mean)));
        }
        let mut index = Self::default();
        for (at, server) in (0u32..).zip(servers.into_values()) {
            index.add(at, server);
        }
        index
    }

    fn add(&mut self, at: u32, server: Server) {
        self.servers.add(at, server.said(), |_| 1.0);
        let all = server.tools.len() as f32;
        let mut having = Counts::new();
        for word in server.tools.iter().flat_map(|(_, counts)| counts.keys()) {
            *having.entry(word.clone()).or_default() += 1.0;
        }
        let share = |word: &str| {
            let own = rarity(all, having.get(word).copied().unwrap_or(1.0)) / rarity(all, 1.0);
            SHARED_WEIGHT + (1.0 - SHARED_WEIGHT) * own
        };
        for (tool, counts) in server.tools {
            let place = u32::try_from(self.tools.len()).unwrap_or(u32::MAX);
            self.words.add(place, counts, share);
            let name = tool.wire.unwrap_or_default();
            self.tools.push(Found { name, server: at, definition: tool.definition });
        }
    }

    /// The tools that fit a request best, the best first.
    pub fn find(&self, request: &str, limit: usize) -> Vec<&Found> {
        let asked: Vec<_> = asked(request).into_iter().map(forms).collect();
        let servers = self.servers.scores(&asked);
        let whole = |(at, score): (u32, f32)| {
            let server = servers.get(&self.tools[at as usize].server).copied().unwrap_or_default();
            (at, score + SERVER_WEIGHT * server)
        };
        let mut ranked: Vec<_> = self.words.scores(&asked).into_iter().map(whole).collect();
        // By place where two fit equally: the same request gives the same answer.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.into_iter().take(limit).map(|(at, _)| &self.tools[at as usize]).collect()
    }

    /// How many tools.
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }
}

/// The words of each field of a tool.
fn fields(tool: &Tool) -> [Vec<String>; FIELDS.len()] {
    let definition: Value = serde_json::from_slice(&tool.definition).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(words).unwrap_or_default();
    let mut arguments = Vec::new();
    for (name, schema) in definition["inputSchema"]["properties"].as_object().into_iter().flatten() {
        arguments.extend(words(name));
        arguments.extend(text(&schema["description"]));
    }
    [
        text(&definition["name"]),
        words(tool.target.server.as_str()),
        text(&definition["title"]),
        text(&definition["description"]),
        arguments,
    ]
}

fn counts(fields: [Vec<String>; FIELDS.len()], mean: &[f32; FIELDS.len()]) -> Counts {
    let mut counts = Counts::new();
    for ((field, words), mean) in FIELDS.iter().zip(fields).zip(mean) {
        let share = field.weight / (1.0 - field.length + field.length * words.len() as f32 / mean);
        for word in words {
            *counts.entry(word).or_default() += share;
        }
    }
    counts
}

impl Found {
    /// The short form for a model: name, description, arguments.
    pub fn short(&self, description_max: usize) -> Value {
        let definition: Value = serde_json::from_slice(&self.definition).unwrap_or_default();
        let description = definition["description"].as_str().unwrap_or_default().trim();
        let mut shown: String = description.chars().take(description_max).collect();
        if shown.len() < description.len() {
            shown.push('…');
        }
        json!({"name": self.name, "description": shown, "arguments": arguments(&definition["inputSchema"])})
    }
}

/// The arguments in one line: `path: string, head?: integer`.
fn arguments(schema: &Value) -> String {
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|required| required.iter().any(|other| other == name))
    };
    let one = |(name, schema): (&String, &Value)| {
        let kind = match (&schema["type"], &schema["enum"]) {
            (_, Value::Array(words)) => words.iter().map(Value::to_string).collect::<Vec<_>>().join("|"),
            (Value::String(kind), _) => kind.clone(),
            (Value::Array(kinds), _) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("|"),
            _ => "any".to_owned(),
        };
        format!("{name}{}: {kind}", if required(name) { "" } else { "?" })
    };
    let properties = schema["properties"].as_object();
    properties.into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}
