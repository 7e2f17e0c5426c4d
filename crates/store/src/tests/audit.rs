//! What the audit trail promises: that it can be checked, and that what was tampered with is named.

use serde_json::{Map, Value, json};

use crate::audit::checkpoint::{Checkpoint, Signer, Verifier};
use crate::audit::packed::{Marked, pack, unpack};
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

/// Their texts are copied from the one before where nothing else differs, over more than one block.
#[tokio::test]
async fn records_that_are_alike_have_their_own_numbers_and_no_others() {
    for (store, _dir) in each() {
        let alike = |n: u64| {
            let digest = Digest { sha256: [n as u8; 32], is_whole: n % 60 < 30, bytes: n * n };
            let record = Record {
                duration: Duration::from_micros(n.pow(3) % 100_003),
                bytes_in: 10_u64.pow(n as u32 % 7),
                bytes_out: n,
                arguments: (n % 60 >= 20).then_some(digest),
                salt: (!n.is_multiple_of(4)).then_some([n as u8; 16]),
                ..record(
                    if n % 100 < 50 { "a" } else { "b" },
                    "files",
                    if n % 90 > 80 { "write" } else { "read" },
                )
            };
            Draft::of(record, Phase::Act)
        };
        let report = || Draft::reported(&tenant("a"), "me", ("deploy", "bot"), &Map::new(), 7).unwrap();
        let drafts = (0..700).map(|n| if n % 130 == 60 { report() } else { alike(n) });
        let drafts: Vec<Draft> = drafts.collect();
        store.audit_append(drafts.clone());
        store.flush().await.unwrap();
        assert_eq!(named(&verdict(&store, "").await), Vec::<String>::new());
        let which = AuditFilter { after: Some(0), ..AuditFilter::default() };
        let rows = store.audit_list(&Scope::all(), which).await.unwrap();
        assert_eq!(rows.len(), drafts.len());
        for (row, (seq, draft)) in rows.iter().zip((1..).zip(&drafts)) {
            let mut alone = Vec::new();
            draft.write(seq, &mut alone, &mut Vec::new());
            assert_eq!(row.document.get(), str::from_utf8(&alone).unwrap());
        }
    }
}

#[test]
fn every_checkpoint_is_compared_however_many_records_lie_between() {
    let leaf = |seq: u64| tree::leaf(&seq.to_le_bytes());
    let sizes = [1, 2, 1_023, 1_024, 1_025, 2_048, 2_500];
    let verdict = |wrong: Option<u64>| {
        let (mut edge, mut checkpoints) = (tree::Edge::default(), String::new());
        for seq in 1..=2_500 {
            edge.push(leaf(seq));
            if sizes.contains(&seq) {
                let root = if wrong == Some(seq) { [0; 32] } else { edge.root() };
                checkpoints += &signer().sign(&Checkpoint { size: seq, root, time: "now".into() });
            }
        }
        let mut verification = verify::Verification::new(&checkpoints, &signer().verifier());
        (1..=2_500).for_each(|seq| verification.take(seq, Some(seq), leaf(seq), true));
        verification.end(Some((edge.size(), edge.root())))
    };
    let whole = verdict(None);
    assert_eq!((named(&whole), whole.checkpoints, whole.unsealed), (Vec::new(), sizes.len(), 0));
    for (before, wrong) in [(0, 1), (1, 2), (1_023, 1_024), (1_024, 1_025), (2_048, 2_500)] {
        let what = format!("changed {}: records {} to {wrong} are not those that", before + 1, before + 1);
        assert!(named(&verdict(Some(wrong)))[0].starts_with(&what), "{wrong}");
    }
}

/// A verification of a trail of 20 whose records arrive as these: each the number that it is kept under, and whether its hash is.
fn arrived(records: impl IntoIterator<Item = (u64, bool)>) -> Vec<String> {
    let mut verification = verify::Verification::new("", &signer().verifier());
    for (seq, is_kept) in records {
        verification.take(seq, Some(seq), tree::leaf(&seq.to_le_bytes()), is_kept);
    }
    named(&verification.end(Some((20, [0; 32]))))
}

#[test]
fn changed_records_that_follow_each_other_are_one_fault() {
    let one = |seq| format!("changed {seq}: record {seq} was changed: its text does not give its hash");
    let some = |first, last| {
        format!(
            "changed {first}: records {first} to {last} were changed: their texts do not give their hashes"
        )
    };
    let faults = arrived((1..=20).map(|seq| (seq, ![1, 4, 5, 6, 8, 19, 20].contains(&seq))));
    assert_eq!(faults, [one(1), some(4, 6), one(8), some(19, 20)]);
    // Each of many is told as soon as it is found, so that there is a place for it among the faults.
    let faults = arrived((1..=20).rev().map(|seq| (seq, false)));
    assert!(faults.contains(&one(20)) && faults.contains(&one(3)), "{faults:?}");
}

#[test]
fn a_trail_ends_with_the_greatest_number_that_it_has() {
    // Old records once more behind it: it was not cut off.
    let faults = arrived((1..=20).chain(15..=17).map(|seq| (seq, true)));
    assert_eq!(faults, ["moved 15: record 15 stands after record 20"]);
    let faults = arrived((1..=20).filter(|seq| *seq != 3).map(|seq| (seq, true)));
    assert_eq!(faults, ["missing 3: record 3 is missing"]);
    let faults = arrived((1..=18).filter(|seq| *seq != 3).map(|seq| (seq, true)));
    let cut = "truncated 19: the trail ends with record 18, but 20 were written";
    assert_eq!(faults, ["missing 3: record 3 is missing", cut]);
    let faults = arrived((1..=21).filter(|seq| *seq != 3).map(|seq| (seq, true)));
    let more = "inserted 21: the trail goes to record 21, but 20 were written";
    assert_eq!(faults, ["missing 3: record 3 is missing", more]);
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

/// A block as it is in the database, for somebody with all rights on it who knows how it is written.
#[derive(Debug, Clone)]
struct Kept {
    first: i64,
    leaves: Vec<Vec<u8>>,
    texts: Vec<String>,
}

impl Kept {
    fn remove(&mut self, at: usize) {
        self.leaves.remove(at);
        self.texts.remove(at);
    }
}

/// How texts stand in a block.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Written {
    Packed,
    /// As before there were packed ones.
    Plain,
}

/// The texts of a block, packed.
fn packed(texts: &[String]) -> Vec<u8> {
    let marked = |text| Marked { text, marks: &[] };
    let (mut row, mut before) = (Vec::new(), &[][..]);
    for text in texts {
        pack(marked(text.as_bytes()), marked(before), &mut row);
        before = text.as_bytes();
    }
    row
}

/// Reads all blocks, changes them and puts them back.
async fn tamper(store: &Store, written: Written, change: fn(&mut Vec<Kept>)) {
    let work = move |db: &mut Db| {
        let sql = "SELECT first, leaves, documents, packed FROM audit_blocks ORDER BY first";
        let mut blocks = db.query(sql, &[], |row| {
            let leaves = row.bytes(1)?.chunks(32).map(<[u8]>::to_vec).collect();
            assert_eq!(row.text(2)?, "");
            let texts = unpack(row.bytes(3)?).split('\n').map(ToOwned::to_owned).collect();
            Ok(Kept { first: row.get(0)?, leaves, texts })
        })?;
        change(&mut blocks);
        db.execute("DELETE FROM audit_blocks", &[])?;
        for Kept { first, leaves, texts } in blocks {
            let (plain, packed) = match written {
                Written::Packed => (String::new(), packed(&texts)),
                Written::Plain => (texts.join("\n"), Vec::new()),
            };
            let sql = "INSERT INTO audit_blocks (first, oldest, newest, leaves, salts, documents, packed)
                VALUES (?1, 0, 0, ?2, ?3, ?4, ?5)";
            db.execute(sql, &[&first, &leaves.concat(), &Vec::new(), &&plain[..], &packed])?;
        }
        Ok(())
    };
    store.change(work).await.unwrap();
}

/// What is done to blocks of ten records each, and what is said of it.
type Tampering = (fn(&mut Vec<Kept>), &'static [&'static str]);

#[tokio::test]
async fn whatever_is_done_to_the_database_is_named() {
    let corpus: &[Tampering] = &[
        (
            |all| all[0].texts[4] = all[0].texts[4].replace("tool 4", "tool 5"),
            &["changed 5: record 5 was changed", "changed 1: records 1 to 10 are not those"],
        ),
        (|all| all[0].leaves[4][0] ^= 1, &["changed 5: record 5 was changed"]),
        (|all| all[1].leaves.clear(), &["changed 11: records 11 to 20 were changed"]),
        (|all| all[0].remove(6), &["missing 7: record 7 is missing"]),
        (|all| drop(all[0].texts.remove(6)), &["missing 7: record 7 is missing"]),
        (|all| all[0].remove(0), &["missing 1: record 1 is missing"]),
        (
            |all| {
                all[0].remove(3);
                all[0].remove(2);
                all[1].remove(1);
            },
            &["missing 3: records 3 to 4 are missing", "missing 12: record 12 is missing"],
        ),
        (|all| drop(all.remove(0)), &["missing 1: records 1 to 10 are missing"]),
        (
            |all| {
                all[1].texts.truncate(5);
                all[1].leaves.truncate(5);
            },
            &["truncated 16: the trail ends with record 15, but 20 were signed for"],
        ),
        (|all| drop(all.pop()), &["truncated 11: the trail ends with record 10, but 20 were signed for"]),
        (Vec::clear, &["truncated 1: the trail ends with record 0"]),
        (
            |all| {
                all[0].texts.swap(2, 3);
                all[0].leaves.swap(2, 3);
            },
            &[
                "moved 3: record 4 stands where record 3",
                "moved 4: record 3 stands where record 4",
                "changed 1: records 1 to 10",
            ],
        ),
        (
            |all| {
                let (leaf, text) = (all[1].leaves[9].clone(), all[1].texts[9].clone());
                all.push(Kept { first: 21, leaves: vec![leaf], texts: vec![text] });
            },
            &[
                "moved 21: record 20 stands where record 21",
                "inserted 21: the trail goes to record 21, but 20 were written",
            ],
        ),
        (|all| all[1].first = 1 << 60, &["missing 11: records 11 to"]),
        (|all| all[1].first = i64::MAX, &["missing 11: records 11 to"]),
        (|all| all[0].texts[1] = "x".into(), &["damaged 2: record 2 is not written as one"]),
        (|all| all[0].texts[9] = "x".into(), &["damaged 10: record 10 is not written as one"]),
    ];
    for (at, (done, expected)) in corpus.iter().enumerate() {
        for (written, (store, _dir)) in [Written::Packed, Written::Plain].into_iter().flat_map(with_each) {
            let checkpoints = trail(&store).await;
            tamper(&store, written, *done).await;
            let found = named(&verdict(&store, &checkpoints).await);
            for text in *expected {
                assert!(found.iter().any(|fault| fault.starts_with(text)), "{at} {written:?}: {found:#?}");
            }
        }
    }
}

fn with_each(written: Written) -> impl Iterator<Item = (Written, (Store, tempfile::TempDir))> {
    each().map(move |store| (written, store))
}

/// Texts that stand there as they are, as before there were packed ones, are read as those are.
#[tokio::test]
async fn texts_that_are_not_packed_are_read_too() {
    for (store, _dir) in each() {
        let checkpoints = trail(&store).await;
        let all = async || objects(&store, &Scope::all(), AuditFilter::default()).await;
        let before = all().await;
        tamper(&store, Written::Plain, |_| ()).await;
        store.audit_append(vec![draft("a", "files", "late")]);
        store.flush().await.unwrap();
        let found = verdict(&store, &checkpoints).await;
        assert_eq!((named(&found), found.size), (Vec::new(), 21));
        assert_eq!(all().await, [&["late".to_owned()], &before[..]].concat());
    }
}

/// Also somebody who does not know how texts are packed is found out, whatever byte it is.
#[tokio::test]
async fn whatever_byte_of_packed_texts_is_changed_is_named() {
    let (store, _dir) = each().next().unwrap();
    let checkpoints = trail(&store).await;
    let read =
        |db: &mut Db| db.first("SELECT packed FROM audit_blocks WHERE first = 1", &[], |row| row.get(0));
    let whole: Vec<u8> = store.read(read).await.unwrap().unwrap();
    let write = async |packed: Vec<u8>| {
        let sql = "UPDATE audit_blocks SET packed = ?1 WHERE first = 1";
        store.change(move |db| db.execute(sql, &[&packed])).await.unwrap();
    };
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        let is_same = unpack(&changed) == unpack(&whole);
        write(changed).await;
        let faults = named(&verdict(&store, &checkpoints).await);
        assert_eq!(faults.is_empty(), is_same, "byte {at}: {faults:?}");
        let told = ["changed ", "damaged ", "missing ", "moved ", "inserted "];
        assert!(
            faults.iter().all(|fault| told.iter().any(|kind| fault.starts_with(kind))),
            "{at}: {faults:?}"
        );
    }
    write(whole).await;
    assert_eq!(named(&verdict(&store, &checkpoints).await), Vec::<String>::new());
}

#[tokio::test]
async fn whatever_is_done_to_the_end_of_the_tree_is_named() {
    let corpus = [
        (
            "UPDATE audit_head SET size = 24",
            "truncated 21: the trail ends with record 20, but 24 were written",
        ),
        ("UPDATE audit_head SET size = 21", "damaged 21: what was kept of the trail's end"),
        ("DELETE FROM audit_head", "inserted 1: the trail goes to record 20, but 0 were written"),
    ];
    for (sql, expected) in corpus {
        for (store, _dir) in each() {
            let checkpoints = trail(&store).await;
            store.change(move |db| db.execute(sql, &[])).await.unwrap();
            let found = named(&verdict(&store, &checkpoints).await);
            assert!(found.iter().any(|fault| fault.starts_with(expected)), "{sql}: {found:#?}");
        }
    }
}

/// Blocks are an arrangement of the store: whoever reads sees records.
#[tokio::test]
async fn records_are_found_wherever_they_stand() {
    for (store, _dir) in each() {
        for part in [1_usize, 255, 256, 257, 600] {
            let drafts =
                (0..part).map(|n| draft(if n % 3 == 0 { "b" } else { "a" }, "files", &n.to_string()));
            store.audit_append(drafts.collect());
            store.flush().await.unwrap();
        }
        let total = 1 + 255 + 256 + 257 + 600;
        assert_eq!(store.audit_total().await.unwrap(), total);
        let (a, b) = (Scope::tenant(tenant("a")), Scope::tenant(tenant("b")));
        let counts = (store.audit_count(&a).await.unwrap(), store.audit_count(&b).await.unwrap());
        assert_eq!((counts.0 + counts.1, counts.1), (total, 1 + 85 + 86 + 86 + 200));
        for seq in [1, 2, 256, 257, 512, 513, 769, 770, 1_025, 1_369] {
            let row = store.audit_read(seq).await.unwrap().unwrap();
            assert_eq!((row.seq, parsed(&row)["seq"].as_i64()), (seq, Some(seq)));
        }
        assert!(store.audit_read(0).await.unwrap().is_none());
        assert!(store.audit_read(total + 1).await.unwrap().is_none());
        // By pages of any size, forwards and backwards, each is seen once.
        for (scope, count) in [(&Scope::all(), total), (&b, counts.1)] {
            for limit in [1, 100, 1_000] {
                let (mut up, mut down) = (Vec::new(), Vec::new());
                let page = async |after, before| {
                    let which = AuditFilter { after, before, limit, ..AuditFilter::default() };
                    let rows = store.audit_list(scope, which).await.unwrap();
                    rows.iter().map(|row| row.seq).collect::<Vec<_>>()
                };
                let turns = if limit == 1 { 3 } else { usize::MAX };
                for _ in 0..turns {
                    let rows = page(Some(up.last().copied().unwrap_or(0)), None).await;
                    if rows.is_empty() {
                        break;
                    }
                    up.extend(rows);
                }
                for _ in 0..turns {
                    let rows = page(None, Some(down.last().copied().unwrap_or(i64::MAX))).await;
                    if rows.is_empty() {
                        break;
                    }
                    down.extend(rows);
                }
                assert!(up.is_sorted_by(|one, next| one < next) && down.is_sorted_by(|one, next| one > next));
                if limit > 1 {
                    down.reverse();
                    assert_eq!((up.len() as i64, &up), (count, &down));
                }
            }
        }
        assert!(verdict(&store, "").await.faults.is_empty());
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

/// A file from before there were blocks has a row for each record.
#[tokio::test]
async fn a_trail_of_single_rows_is_taken_over() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let new = Store::open(URL, other.path()).unwrap();
    let checkpoints = trail(&new).await;
    let (size, root) = new.audit_head().await.unwrap();
    let which = AuditFilter { after: Some(0), ..AuditFilter::default() };
    let rows = new.audit_list(&Scope::all(), which).await.unwrap();
    let old = dir.path().join("data/puerto.db");
    std::fs::create_dir(old.parent().unwrap()).unwrap();
    let db = Connection::open(&old).unwrap();
    let before = MIGRATIONS.iter().position(|step| step.contains("CREATE TABLE audit_blocks")).unwrap();
    MIGRATIONS[..before].iter().for_each(|step| db.execute_batch(step).unwrap());
    db.pragma_update(None, "application_id", 0x5055_4552).unwrap();
    db.pragma_update(None, "user_version", before as i64).unwrap();
    for row in &rows {
        let (text, salt) = (row.document.get(), (row.seq % 2 == 0).then_some([7; 16]));
        let sql = "INSERT INTO audit (seq, tenant, at, phase, actor, action, leaf, document, salt)
            VALUES (?1, 'a', 5, 'act', 'local', 'tools/call', ?2, ?3, ?4)";
        db.execute(sql, (row.seq, &tree::leaf(text.as_bytes())[..], text, salt)).unwrap();
    }
    let mut edge = tree::Edge::default();
    rows.iter().for_each(|row| edge.push(tree::leaf(row.document.get().as_bytes())));
    assert_eq!((edge.size(), edge.root()), (size, root));
    let sql = "INSERT INTO audit_head (one, size, roots) VALUES (1, ?1, ?2)";
    db.execute(sql, (size as i64, edge.to_parts().1)).unwrap();
    drop(db);
    let store = Store::open(URL, dir.path()).unwrap();
    store.audit_append(vec![draft("a", "files", "new")]);
    store.flush().await.unwrap();
    let found = verdict(&store, &checkpoints).await;
    assert_eq!((found.size, named(&found)), (21, Vec::new()));
    assert_eq!(store.audit_count(&Scope::tenant(tenant("a"))).await.unwrap(), 21);
    assert_eq!(parsed(&store.audit_read(7).await.unwrap().unwrap())["object"], "tool 6");
}
