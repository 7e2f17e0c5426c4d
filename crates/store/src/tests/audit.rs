//! What the audit trail promises: that it can be checked, and that what was tampered with is named.

use serde_json::{Map, Value, json};

use crate::audit::checkpoint::{Checkpoint, Signer, Verifier};
use crate::audit::tree;
use crate::audit::verify::{self, Verdict};

use super::*;

fn signer() -> Signer {
    Signer::new(&[1; 32]).unwrap()
}

/// A checkpoint of the trail as it is.
async fn seal(store: &Store, by: &Signer) -> String {
    let (size, root) = store.audit_head().await.unwrap();
    by.sign(&Checkpoint { size, root, time: format!("2026-11-22T10:00:{size:02}Z") })
}

/// A trail of 20 records with checkpoints after 10 and 20; answers the checkpoints.
async fn trail(store: &Store) -> String {
    let mut checkpoints = String::new();
    for half in 0..2 {
        store
            .audit_append((0..10).map(|n| draft("a", "files", &format!("tool {}", half * 10 + n))).collect());
        store.flush().await.unwrap();
        checkpoints += &seal(store, &signer()).await;
    }
    checkpoints
}

async fn verdict(store: &Store, checkpoints: &str) -> Verdict {
    store.audit_verify(checkpoints, &signer().verifier()).await.unwrap()
}

fn named(verdict: &Verdict) -> Vec<String> {
    verdict.faults.iter().map(|fault| format!("{} {}: {}", fault.kind, fault.seq, fault.what)).collect()
}

#[tokio::test]
async fn an_honest_trail_is_found_whole() {
    for (store, _dir) in each() {
        let empty = verdict(&store, "").await;
        assert_eq!((empty.size, empty.faults.len()), (0, 0));
        let checkpoints = trail(&store).await;
        store.audit_append(vec![draft("a", "files", "late")]);
        store.flush().await.unwrap();
        let found = verdict(&store, &checkpoints).await;
        assert_eq!(named(&found), Vec::<String>::new());
        assert_eq!((found.size, found.checkpoints, found.unsealed), (21, 2, 1));
        assert_eq!(store.audit_count(&Scope::tenant(tenant("a"))).await.unwrap(), 21);
    }
}

#[tokio::test]
async fn what_is_reported_is_answered_with_its_number_and_is_part_of_the_trail() {
    for (store, _dir) in each() {
        store.audit_append(vec![draft("a", "files", "before")]);
        let details: Map<String, Value> =
            serde_json::from_str(r#"{"seq":99,"b":1.5,"a":{"seq":7,"z":"\u00e9"}}"#).unwrap();
        let report = Draft::reported(&tenant("a"), "local", ("deploy", "bot"), &details, 5).unwrap();
        let row = store.audit_report(report).await.unwrap();
        let expected = r#"{"action":"deploy","actor":"bot","at_us":5,"details":{"a":{"seq":7,"z":"é"},"b":1.5,"seq":99},"phase":"report","reporter":"local","seq":2,"tenant":"a"}"#;
        assert_eq!((row.seq, row.document.get()), (2, expected));
        assert!(verdict(&store, "").await.faults.is_empty());
        let all = Scope::all();
        let base = AuditFilter::default();
        for (which, count) in [
            (AuditFilter { actor: Some("bot".into()), ..base.clone() }, 1),
            (AuditFilter { action: Some("tools/*".into()), ..base.clone() }, 1),
            (AuditFilter { action: Some("tools".into()), ..base.clone() }, 0),
            (AuditFilter { phases: vec![Phase::Report], ..base.clone() }, 1),
            (AuditFilter { since_us: Some(6), ..base }, 1),
        ] {
            assert_eq!(store.audit_list(&all, which.clone()).await.unwrap().len(), count, "{which:?}");
        }
        let inexact: Map<String, Value> = serde_json::from_str(r#"{"n":9007199254740993}"#).unwrap();
        assert!(Draft::reported(&tenant("a"), "local", ("deploy", "bot"), &inexact, 5).is_err());
    }
}

/// What somebody with all rights on the database does, and what is said of it.
#[tokio::test]
async fn whatever_is_done_to_the_database_is_named() {
    let corpus: &[(&[&str], &[&str])] = &[
        (
            &["UPDATE audit SET document = replace(document, 'tool 4', 'tool 5') WHERE seq = 5"],
            &["changed 5: record 5 was changed", "changed 1: records 1 to 10 are not those"],
        ),
        (&["DELETE FROM audit WHERE seq = 7"], &["missing 7: record 7 is missing"]),
        (&["DELETE FROM audit WHERE seq = 1"], &["missing 1: record 1 is missing"]),
        (
            &["DELETE FROM audit WHERE seq IN (3, 4, 12)"],
            &["missing 3: records 3 to 4 are missing", "missing 12: record 12 is missing"],
        ),
        (
            &["DELETE FROM audit WHERE seq > 15"],
            &["truncated 16: the trail ends with record 15, but 20 were signed for"],
        ),
        (&["DELETE FROM audit"], &["truncated 1: the trail ends with record 0"]),
        (
            &[
                "UPDATE audit SET seq = 999 WHERE seq = 3",
                "UPDATE audit SET seq = 3 WHERE seq = 4",
                "UPDATE audit SET seq = 4 WHERE seq = 999",
            ],
            &[
                "moved 3: record 4 stands where record 3",
                "moved 4: record 3 stands where record 4",
                "changed 1: records 1 to 10",
            ],
        ),
        (
            &["INSERT INTO audit (seq, tenant, at, phase, actor, action, leaf, document)
                 SELECT 21, tenant, at, phase, actor, action, leaf, document FROM audit WHERE seq = 20"],
            &[
                "moved 21: record 20 stands where record 21",
                "inserted 21: the trail has 21 records, but 20 were written",
            ],
        ),
        (
            &["UPDATE audit_head SET size = 24"],
            &["truncated 21: the trail ends with record 20, but 24 were written"],
        ),
        (&["UPDATE audit_head SET size = 21"], &["damaged 21: what was kept of the trail's end"]),
        (&["DELETE FROM audit_head"], &["inserted 1: the trail has 20 records, but 0 were written"]),
        (&["UPDATE audit SET document = 'x' WHERE seq = 2"], &["damaged 2: record 2 is not written as one"]),
    ];
    for (done, expected) in corpus {
        for (store, _dir) in each() {
            let checkpoints = trail(&store).await;
            for sql in *done {
                let sql = *sql;
                store.change(move |db| db.execute(sql, &[])).await.unwrap();
            }
            let found = named(&verdict(&store, &checkpoints).await);
            for text in *expected {
                assert!(found.iter().any(|fault| fault.starts_with(text)), "{done:?}: {found:?}");
            }
        }
    }
}

/// Somebody who changes a record, its hash and the end of the tree is found out by what was signed before.
#[tokio::test]
async fn a_rewritten_trail_does_not_give_the_signed_roots() {
    for (store, dir) in each() {
        let checkpoints = trail(&store).await;
        let forged: Vec<_> = (0..20).map(|n| draft("a", "files", &format!("other {n}"))).collect();
        let other = Store::open("sqlite::memory:", dir.path()).unwrap();
        other.audit_append(forged);
        other.flush().await.unwrap();
        let found = verdict(&other, &checkpoints).await;
        assert_eq!(found.faults.len(), 1);
        let said = named(&found).remove(0);
        assert!(
            said.starts_with("changed 1: records 1 to 10 are not those that the checkpoint of"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_swapped_or_damaged_checkpoint_is_named() {
    let store = Store::open("sqlite::memory:", Path::new("")).unwrap();
    let checkpoints = trail(&store).await;
    let (first, second) = checkpoints.split_at(checkpoints.len() / 2);
    let other = seal(&store, &Signer::new(&[2; 32]).unwrap()).await;
    for (file, expected) in [
        (format!("{first}{other}"), "checkpoint 0: checkpoint 2 is none: its signature is not of this key"),
        (
            format!("{second}{first}"),
            "checkpoint 10: checkpoint 2 says 10 records, fewer than the one before",
        ),
        (checkpoints.replacen("\n10\n", "\n11\n", 1), "checkpoint 0: checkpoint 1 is none: its signature"),
        ("hello".into(), "checkpoint 0: the file of checkpoints holds none"),
    ] {
        let found = named(&verdict(&store, &file).await);
        assert!(found.iter().any(|fault| fault.starts_with(expected)), "{expected}: {found:?}");
    }
    // A power cut leaves half of the last one, which stands for nothing and hides nothing.
    let half = &checkpoints[..checkpoints.len() - 20];
    let found = verdict(&store, half).await;
    assert_eq!((named(&found), found.unsealed), (Vec::new(), 10));
}

#[tokio::test]
async fn one_record_is_proved_without_the_database() {
    for (store, _dir) in each() {
        let checkpoints = trail(&store).await;
        let note = verify::last_note(&checkpoints).unwrap();
        let key: Verifier = signer().verifier();
        for seq in [1, 5, 20] {
            let (row, path) = store.audit_prove(seq, 20).await.unwrap().unwrap();
            let path: Vec<_> = path.iter().map(verify::hex).collect();
            let proof = json!({"record": row.document.get(), "path": path, "checkpoint": note});
            assert_eq!(verify::proof(&proof, &key).unwrap().size, 20);
            let mut forged = proof.clone();
            forged["record"] = row.document.get().replace("files", "other").into();
            assert!(verify::proof(&forged, &key).unwrap_err().contains("is not in the trail"));
            let mut cut = proof.clone();
            cut["path"].as_array_mut().unwrap().pop();
            assert!(verify::proof(&cut, &key).is_err());
            assert!(verify::proof(&proof, &Signer::new(&[2; 32]).unwrap().verifier()).is_err());
        }
        assert!(store.audit_prove(21, 20).await.unwrap().is_none());
        assert!(store.audit_prove(0, 20).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn two_hubs_on_one_database_keep_one_trail() {
    for url in [URL.to_owned(), postgres()] {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Store::open(&url, dir.path()).unwrap(), Store::open(&url, dir.path()).unwrap());
        for n in 0..20 {
            one.audit_append(vec![draft("a", "one", &n.to_string())]);
            two.audit_append(vec![draft("a", "two", &n.to_string())]);
            one.flush().await.unwrap();
            two.flush().await.unwrap();
        }
        assert_eq!((one.lost(), two.lost()), (0, 0));
        let found = verdict(&one, "").await;
        assert_eq!((found.size, named(&found)), (40, Vec::new()));
        assert_eq!(found.root, verify::hex(&two.audit_head().await.unwrap().1));
        assert_ne!(found.root, verify::hex(&tree::Edge::default().root()));
    }
}
