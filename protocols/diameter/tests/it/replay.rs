//! Every input of the fuzz corpus, through the target that it belongs to.
//!
//! `protocols/diameter/fuzz` has the targets and says how to run them.

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

#[test]
fn every_kind_of_message_is_built_and_read_again() {
    for (application, kinds) in targets::APPLICATIONS {
        for kind in *kinds {
            println!("{application} {}", kind.name);
            for octet in (0..=u8::MAX).step_by(5) {
                let message = (kind.build)(&mut targets::Source::new(&[octet; 400]));
                (kind.again)(&message);
            }
        }
    }
}
