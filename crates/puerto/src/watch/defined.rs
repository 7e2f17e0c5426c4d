//! What is watched and who said so: the file, somebody by API, or the hub itself, which watches its own servers.
//! Definitions by API lie in the store, with their secrets apart.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use puerto_core::def::{ServiceDef, WatchDef};
use puerto_core::{Secret, ServerName, ServiceName, TenantId};
use puerto_mcp::adopt::Tenants;
use puerto_store::StoredService;
use puerto_watch::check::{Key, shown_url};
use puerto_watch::probe::Target;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::own_server;

/// Where a service is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// In the configuration file.
    File,
    /// By API.
    Api,
    /// Nowhere: it is a server of this hub.
    Server,
}

/// A definition by API that is not watched.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Ignored {
    pub(crate) tenant: String,
    pub(crate) name: String,
    /// Why it is not.
    pub(crate) why: String,
}

/// All definitions.
#[derive(Default)]
pub(super) struct Defined {
    /// Those of the file.
    pub(super) file: Vec<ServiceDef>,
    /// What else the file says.
    pub(super) watch: WatchDef,
    /// Those by API, as they are kept.
    pub(super) stored: Vec<StoredService>,
    /// What the store said of its definitions when they were read.
    pub(super) mark: Option<(i64, i64)>,
    /// Where each that is watched is defined.
    pub(super) sources: BTreeMap<Key, Source>,
    /// Those by API that are not watched.
    pub(super) ignored: Vec<Ignored>,
}

impl Defined {
    /// Puts together what is to be watched: the file first, then what came by API, then servers that neither names.
    pub(super) fn settle(&mut self, tenants: &Tenants) -> Vec<ServiceDef> {
        let mut all = self.file.clone();
        self.sources = all.iter().map(|def| (key_of(def), Source::File)).collect();
        self.ignored.clear();
        for stored in &self.stored {
            match usable(stored, &self.sources, tenants) {
                Ok(def) => {
                    self.sources.insert(key_of(&def), Source::Api);
                    all.push(def);
                }
                Err(why) => {
                    let (tenant, name) = (stored.tenant.clone(), stored.name.clone());
                    self.ignored.push(Ignored { tenant, name, why: why.into() });
                }
            }
        }
        let upstreams = tenants.values().flat_map(|tenant| tenant.upstreams.values());
        for upstream in upstreams.filter(|upstream| self.watch.servers && upstream.def.enabled) {
            let own = own_server(&upstream.tenant, &upstream.name);
            if let Entry::Vacant(free) = self.sources.entry(key_of(&own)) {
                free.insert(Source::Server);
                all.push(own);
            }
        }
        all
    }

    /// Whether a definition of this name came by API, watched or not.
    pub(super) fn is_stored(&self, key: &Key) -> bool {
        self.stored.iter().any(|one| one.tenant == key.0.as_str() && one.name == key.1.as_str())
    }

    /// The other services of a tenant, and what each depends on.
    pub(super) fn beside(&self, key: &Key) -> Vec<(ServiceName, Vec<ServiceName>)> {
        let stored = self.stored.iter().filter_map(|stored| whole(stored).ok());
        let is_watched = |def: &ServiceDef| self.sources.get(&key_of(def)) == Some(&Source::Api);
        let defined = self.file.iter().cloned().chain(stored.filter(is_watched));
        let of = defined.filter(|def| def.tenant == key.0 && def.name != key.1);
        of.map(|def| (def.name, def.parents)).collect()
    }
}

fn key_of(def: &ServiceDef) -> Key {
    (def.tenant.clone(), def.name.clone())
}

/// The servers of each tenant, which definitions may refer to.
pub(super) fn servers(tenants: &Tenants) -> BTreeMap<TenantId, Vec<ServerName>> {
    tenants.iter().map(|(id, tenant)| (id.clone(), tenant.upstreams.keys().cloned().collect())).collect()
}

/// What is kept of a definition: the document without what may be secret, and that as JSON.
pub(super) fn parted(document: Value) -> (String, Option<Secret>) {
    let Value::Object(mut open) = document else { return (document.to_string(), None) };
    let mut secrets = Map::new();
    for key in ["headers", "body"] {
        if let Some(value) = open.remove(key).filter(|value| !value.is_null() && *value != json!({})) {
            secrets.insert(key.into(), value);
        }
    }
    if let Some(url) = open.get("url").and_then(Value::as_str).map(str::to_owned)
        && shown_url(&url) != url
    {
        open.insert("url".into(), shown_url(&url).into());
        secrets.insert("url".into(), url.into());
    }
    let secrets = (!secrets.is_empty()).then(|| Secret::new(Value::Object(secrets).to_string()));
    (Value::Object(open).to_string(), secrets)
}

/// The definition that was parted.
fn whole(stored: &StoredService) -> Result<ServiceDef, &'static str> {
    const UNREAD: &str = "this hub cannot read its definition; define it again";
    let mut document: Map<String, Value> = serde_json::from_str(&stored.document).map_err(|_| UNREAD)?;
    if let Some(secrets) = &stored.secrets {
        document.extend(serde_json::from_str::<Map<_, _>>(secrets.reveal()).map_err(|_| UNREAD)?);
    }
    let def: ServiceDef = serde_json::from_value(Value::Object(document)).map_err(|_| UNREAD)?;
    let is_itself = def.tenant.as_str() == stored.tenant && def.name.as_str() == stored.name;
    if is_itself { Ok(def) } else { Err(UNREAD) }
}

/// The definition, where it can be watched beside the others.
fn usable(
    stored: &StoredService,
    sources: &BTreeMap<Key, Source>,
    tenants: &Tenants,
) -> Result<ServiceDef, &'static str> {
    if stored.has_secrets && stored.secrets.is_none() {
        return Err("it came with an archive, which holds no secrets of it; define it again");
    }
    let def = whole(stored)?;
    if sources.contains_key(&key_of(&def)) {
        return Err("the configuration file defines a service of this name, which is watched in its place");
    }
    if !tenants.contains_key(&def.tenant) {
        return Err("its tenant is not defined");
    }
    Target::new(&def).map_err(|_| "this hub cannot check it as it is defined; define it again")?;
    Ok(def)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(document: Value) -> StoredService {
        let (document, secrets) = parted(document);
        let has_secrets = secrets.is_some();
        let (tenant, name) = ("default".into(), "web".into());
        StoredService { tenant, name, at_us: 1, document, has_secrets, secrets }
    }

    #[test]
    fn what_is_parted_is_whole_again_and_shows_no_secret() {
        for (more, has_secrets) in [
            (json!({"url": "https://a.test/x"}), false),
            (json!({"url": "https://a.test/x", "headers": {}, "body": null}), false),
            (json!({"url": "https://me:harbour@a.test/x"}), true),
            (json!({"url": "https://a.test/x?key=harbour"}), true),
            (json!({"url": "https://a.test/x", "headers": {"authorization": "harbour"}}), true),
            (json!({"url": "https://a.test/x", "body": "harbour"}), true),
        ] {
            let mut document = json!({"name": "web", "tenant": "default", "interval": 5});
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let def: ServiceDef = serde_json::from_value(document.clone()).unwrap();
            let kept = stored(document);
            assert!(!kept.document.contains("harbour"), "{}", kept.document);
            assert_eq!(kept.has_secrets, has_secrets);
            assert_eq!(whole(&kept), Ok(def));
        }
    }
}
