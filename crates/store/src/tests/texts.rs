//! What is promised of arguments and results that a tenant keeps: nobody reads them in the database, and they can be erased
//! without a trace of it in the trail.

use puerto_core::{Secret, TextRoom, Texts};

use crate::audit::checkpoint::Signer;
use crate::audit::text::Opened;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// What the hub keeps of an operation of somebody, with its texts.
fn told(room: &TextRoom, tenant: &str, caller: &str, at: SystemTime) -> Draft {
    let text = |text: String| room.take(text.len(), || text.clone().into_bytes().into());
    let arguments = text(format!("{{\"asked by\":\"{caller}\"}}"));
    let texts = Texts { arguments, result: text("\"the answer to it\"".into()) };
    let texts = Some(Box::new(texts));
    Draft::of(Record { caller: caller.into(), at, texts, ..record(tenant, "files", "read") }, Phase::Act)
}

fn keyed(store: &Store) {
    store.audit_texts_key(&Secret::new(KEY)).unwrap();
}

async fn arguments(store: &Store, seq: i64, tenant: &str) -> Option<String> {
    let Opened { arguments, result, .. } = store.audit_texts(seq, tenant).await.unwrap();
    assert_eq!(arguments.is_some(), result.is_some());
    arguments.map(|bytes| String::from_utf8(bytes).unwrap())
}

async fn is_whole(store: &Store) -> bool {
    let key = Signer::new(&[1; 32]).unwrap().verifier();
    store.audit_verify("", &key).await.unwrap().faults.is_empty()
}

#[tokio::test]
async fn texts_come_back_until_they_are_erased_and_the_trail_stays_whole() {
    for (store, _dir) in each() {
        keyed(&store);
        let room = TextRoom::default();
        let now = SystemTime::now();
        let callers = ["ann", "bob", "ann"];
        store.audit_append(callers.iter().map(|caller| told(&room, "a", caller, now)).collect());
        store.audit_append(vec![told(&room, "b", "ann", now), draft("a", "files", "without")]);
        store.flush().await.unwrap();
        for (seq, tenant, caller) in [(1, "a", "ann"), (2, "a", "bob"), (3, "a", "ann"), (4, "b", "ann")] {
            let expected = format!("{{\"asked by\":\"{caller}\"}}");
            assert_eq!(arguments(&store, seq, tenant).await, Some(expected));
        }
        assert_eq!(arguments(&store, 5, "a").await, None);
        assert_eq!(arguments(&store, 4, "a").await, None, "of another tenant");
        let before = store.audit_head().await.unwrap();
        let of_ann = AuditFilter { actor: Some("ann".into()), ..AuditFilter::default() };
        let in_a = Scope::tenant(tenant("a"));
        let erased = store.audit_erase(&in_a, of_ann.clone()).await.unwrap();
        assert_eq!(erased, Erased { records: 2, texts: 2 });
        let again = store.audit_erase(&in_a, of_ann).await.unwrap();
        assert_eq!(again, Erased::default());
        let mut left = Vec::new();
        for (seq, tenant) in [(1, "a"), (2, "a"), (3, "a"), (4, "b")] {
            let Opened { salt, arguments, .. } = store.audit_texts(seq, tenant).await.unwrap();
            assert_eq!(salt.is_some(), arguments.is_some());
            left.extend(salt.map(|_| seq));
        }
        assert_eq!(left, [2, 4]);
        assert_eq!(store.audit_head().await.unwrap(), before);
        assert!(is_whole(&store).await);
        let of_one = AuditFilter {
            request: Some(RequestId::from_number(0xabc).to_string()),
            ..AuditFilter::default()
        };
        assert_eq!(store.audit_list(&Scope::all(), of_one).await.unwrap().len(), 5);
        let of_none = AuditFilter { request: Some("abc".into()), ..AuditFilter::default() };
        assert_eq!(store.audit_list(&Scope::all(), of_none).await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn nobody_reads_texts_in_the_file_and_what_was_erased_is_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let room = TextRoom::default();
    let long = "a long text that is easily found ".repeat(2_000);
    let file = || {
        let names = ["puerto.db", "puerto.db-wal"].map(|name| dir.path().join("data").join(name));
        names.map(|name| std::fs::read(name).unwrap_or_default()).concat()
    };
    let holds = |bytes: &[u8], part: &[u8]| memchr::memmem::find(bytes, part).is_some();
    let sealed: Vec<u8> = {
        let store = Store::open(URL, dir.path()).unwrap();
        let text = room.take(long.len(), || long.clone().into_bytes().into());
        let texts = Some(Box::new(Texts { arguments: text, result: None }));
        store.audit_append(vec![Draft::of(Record { texts, ..record("a", "files", "read") }, Phase::Act)]);
        store.flush().await.unwrap();
        let sql = "SELECT arguments FROM audit_texts";
        let sealed = store.read(move |db| db.first(sql, &[], |row| row.get(0))).await.unwrap();
        store.close().await.unwrap();
        sealed.unwrap()
    };
    // In pages, so a part of it stands together.
    let part = &sealed[20_000..20_500];
    assert!(holds(&file(), part) && !holds(&file(), &long.as_bytes()[..64]));
    let key = std::fs::metadata(dir.path().join("data/texts.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    let store = Store::open(URL, dir.path()).unwrap();
    let found = store.audit_texts(1, "a").await.unwrap().arguments;
    assert_eq!(found.as_deref(), Some(long.as_bytes()), "the key is read again");
    store.audit_erase(&Scope::all(), AuditFilter::default()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    assert!(!holds(&file(), part));
}

#[tokio::test]
async fn texts_go_with_their_age_and_their_digests_stay() {
    for (store, _dir) in each() {
        keyed(&store);
        let (room, now) = (TextRoom::default(), SystemTime::now());
        let ago = |days: u64| now - Duration::from_hours(24 * days);
        let drafts = [("a", 40), ("a", 20), ("b", 40), ("c", 40), ("c", 400)];
        store.audit_append(drafts.map(|(tenant, days)| told(&room, tenant, "ann", ago(days))).into());
        store.flush().await.unwrap();
        let days = vec![(tenant("a"), 30), (tenant("b"), 0)];
        assert_eq!(store.audit_texts_trim(days, 365).await.unwrap(), 2);
        let mut left = Vec::new();
        for (seq, (tenant, _)) in (1..).zip(drafts) {
            let found = store.audit_texts(seq, tenant).await.unwrap();
            assert!(found.salt.is_some());
            left.extend(found.arguments.map(|_| seq));
        }
        assert_eq!(left, [2, 3, 4]);
    }
}

#[tokio::test]
async fn without_the_key_records_are_kept_and_texts_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (room, now) = (TextRoom::default(), SystemTime::now());
    let store = Store::open(URL, dir.path()).unwrap();
    assert!(store.audit_texts_key(&Secret::new("short")).unwrap_err().to_string().contains("32 characters"));
    std::fs::write(dir.path().join("data/texts.key"), "short").unwrap();
    let error = store.audit_texts_ready().unwrap_err().to_string();
    assert!(error.contains("texts.key") && error.contains("32 characters"), "{error}");
    store.audit_append(vec![told(&room, "a", "ann", now)]);
    store.flush().await.unwrap();
    assert_eq!((arguments(&store, 1, "a").await, room.lost()), (None, 2));
    assert!(is_whole(&store).await);
    keyed(&store);
    store.audit_append(vec![told(&room, "a", "ann", now)]);
    store.flush().await.unwrap();
    assert!(arguments(&store, 2, "a").await.is_some());
    store.audit_texts_key(&Secret::new(KEY.replace('0', "f"))).unwrap();
    let error = store.audit_texts(2, "a").await.unwrap_err().to_string();
    assert!(error.contains("record 2") && error.contains("another key"), "{error}");
}
