//! Bundles with a fault somewhere: they are refused or read, and nothing else happens.

use proptest::prelude::*;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

fn sample() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, text) in
        [("manifest.json", "{ \"a\": 1 }"), ("server/index.js", "// code\n"), ("bin/x", "xxxxxxxx")]
    {
        zip.start_file(name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.add_directory("empty", SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_whole_bundle_is_opened() {
    let bundle = Bundle::open(Path::new("it.mcpb"), sample()).unwrap();
    assert_eq!(bundle.size, "3 files, 26 bytes");
    assert!(bundle.holds("bin/x") && !bundle.holds("bin") && !bundle.holds("empty"));
}

proptest! {
    #[test]
    fn a_damaged_bundle_stays_in_its_place(
        faults in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = sample();
        for (at, value) in faults {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()) + 1);
        }
        let Ok(bundle) = Bundle::open(Path::new("it.mcpb"), bytes) else { return Ok(()) };
        let own = tempfile::TempDir::new().unwrap();
        let dir = own.path().join("bundles/it-1");
        let done = bundle.unpack(&dir, None);
        prop_assert_eq!(done.is_ok(), dir.exists());
        prop_assert!(done.is_err() || bundle.lies_in(&dir));
        let all: Vec<_> = std::fs::read_dir(own.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        prop_assert!(all.is_empty() || (done.is_ok() && all == ["bundles"]), "{:?}", all);
    }
}
