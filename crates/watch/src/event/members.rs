//! The members of an object, each as its text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Fault, not_json};

/// The members that nobody has taken yet, in their order.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Those of a text.
    pub(super) fn read(text: &'a str) -> Result<Self, Fault> {
        let members: Self = serde_json::from_str(text).map_err(|e| Fault::shape("event", not_json(&e)))?;
        let mut names: Vec<&str> = members.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Fault::shape(pair[0], "stands there twice")),
            None => Ok(members),
        }
    }

    /// Takes one out; `null` counts as none.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.remove(at).1).filter(|value| value.get() != "null")
    }

    /// Takes one out that is a text.
    pub(super) fn take_text(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| Fault::shape(name, "must be a text"))
    }

    /// What is left, as an object; nothing where nothing is.
    pub(super) fn rest(self) -> Option<Box<RawValue>> {
        if self.0.is_empty() {
            return None;
        }
        let members =
            self.0.iter().map(|(name, value)| format!("{}:{value}", serde_json::Value::from(&**name)));
        RawValue::from_string(format!("{{{}}}", members.collect::<Vec<_>>().join(","))).ok()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A name, borrowed where it holds no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
