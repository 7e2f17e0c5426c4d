//! One message, parsed shallowly and borrowed from the bytes it came in.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The one version of the modern era.
pub(crate) const MODERN: &str = "2026-07-28";

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) params: Params<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Params<'a> {
    #[serde(default, borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) protocol_version: Cow<'a, str>,
}

impl<'a> Message<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// A request of the modern era names its version in `_meta`.
    pub(super) fn is_modern(&self) -> bool {
        let key = b"io.modelcontextprotocol/protocolVersion";
        self.params.meta.is_some_and(|meta| memchr::memmem::find(meta.get().as_bytes(), key).is_some())
    }
}
