//! Is an answer the right one?
//!
//! The first answer is parsed and compared with what must come back. The later ones are compared
//! with the first, byte by byte, the id aside; only what differs is parsed again.

use serde_json::Value;

use super::connection::Answer;
use super::request::{Stamped, echo_text};
use super::{Plan, Scenario};
use crate::{Result, text};

pub(super) struct Checker {
    scenario: Scenario,
    text: Text,
    expected_tools: Option<usize>,
    /// Tools seen on the pages of the list under way.
    tools: usize,
    /// The right answers, by page; a call has one page.
    known: Vec<Known>,
}

/// The text that a call must answer.
enum Text {
    Echo,
    Fixed(String),
    Any,
}

struct Known {
    answer: Stamped,
    page: Page,
}

#[derive(Clone, Default)]
struct Page {
    tools: usize,
    next: Option<String>,
}

impl Known {
    fn recognise(&mut self, id: u64, message: &[u8]) -> Option<Page> {
        (self.answer.with(id) == message).then(|| self.page.clone())
    }
}

impl Checker {
    pub(super) fn new(plan: &Plan) -> Self {
        let text = match plan.scenario {
            Scenario::Call if plan.tool.ends_with("echo") => Text::Echo,
            Scenario::Call | Scenario::List => Text::Any,
            Scenario::Payload => Text::Fixed(text::text(plan.bytes)),
            Scenario::Argument => Text::Fixed(plan.bytes.to_string()),
        };
        let expected_tools = plan.expect;
        Self { scenario: plan.scenario, text, expected_tools, tools: 0, known: Vec::new() }
    }

    /// Checks the answer to the request `id` for the page numbered `page`; returns the next cursor.
    pub(super) fn check(&mut self, page: usize, id: u64, answer: &Answer<'_>) -> Result<Option<String>> {
        if answer.status != 200 {
            return Err(answer.to_string().into());
        }
        let message = answer.message()?;
        let known = self.known.get_mut(page).and_then(|known| known.recognise(id, &message));
        let seen = match known {
            Some(seen) => seen,
            None => {
                let seen = self.parse(id, &message).map_err(|error| format!("{error}: {answer}"))?;
                if self.known.len() == page {
                    let answer = Stamped::new(message.into_owned(), id);
                    self.known.push(Known { answer, page: seen.clone() });
                }
                seen
            }
        };
        if self.scenario == Scenario::List {
            self.count(page, &seen)?;
        }
        Ok(seen.next)
    }

    fn count(&mut self, page: usize, seen: &Page) -> Result<()> {
        self.tools = if page == 0 { seen.tools } else { self.tools + seen.tools };
        if seen.next.is_some() {
            return Ok(());
        }
        match *self.expected_tools.get_or_insert(self.tools) {
            expected if expected == self.tools => Ok(()),
            expected => Err(format!("{} tools in the list, {expected} expected", self.tools).into()),
        }
    }

    fn parse(&self, id: u64, message: &[u8]) -> Result<Page> {
        let message: Value = serde_json::from_slice(message)?;
        if message["id"] != id {
            return Err("an answer to another call".into());
        }
        let result = &message["result"];
        if !result.is_object() || result["isError"] == true {
            return Err("the call failed".into());
        }
        if self.scenario == Scenario::List {
            let tools = result["tools"].as_array().ok_or("a list without tools")?;
            let next = result["nextCursor"].as_str().map(str::to_owned);
            return Ok(Page { tools: tools.len(), next });
        }
        let text = result["content"][0]["text"].as_str();
        let right = match &self.text {
            Text::Echo => text == Some(&echo_text(id)),
            Text::Fixed(expected) => text == Some(expected),
            Text::Any => text.is_some(),
        };
        if right { Ok(Page::default()) } else { Err("a wrong text".into()) }
    }
}
