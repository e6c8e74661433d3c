//! Every input of the fuzz corpus, through the target that it belongs to.
//!
//! `protocols/mqtt/fuzz` has the targets and says how to run them.
#![allow(clippy::disallowed_methods, reason = "machines are stepped from some instant")]

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

#[test]
fn the_fuzz_corpus_finds_nothing() {
    for (name, target) in targets::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut inputs: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            // shown where the target panics
            println!("{name} {}", input.display());
            target(&fs::read(&input).unwrap());
        }
    }
}
