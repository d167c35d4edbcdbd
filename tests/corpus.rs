//! Every file of every fuzz corpus, through the same functions as the fuzz targets, on stable.

use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz package, whose library it is")]
mod targets;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in corpus.read_dir().expect("the corpus is there") {
        let path = entry.expect("a file").path();
        let bytes = std::fs::read(&path).expect("it can be read");
        assert!(std::panic::catch_unwind(|| run(&bytes)).is_ok(), "{} fails", path.display());
        files += 1;
    }
    assert!(files >= 5, "{} has {files} files", corpus.display());
}

#[test]
fn the_corpus_of_echo_holds() {
    replay("echo", targets::echo);
}

#[test]
fn the_corpus_of_ptb_v4_holds() {
    replay("ptb_v4", targets::ptb_v4);
}

#[test]
fn the_corpus_of_ptb_v6_holds() {
    replay("ptb_v6", targets::ptb_v6);
}

#[test]
fn the_corpus_of_quoted_holds() {
    replay("quoted", targets::quoted);
}
