//! How often the two codecs of the `codec` bench allocate, counted in a
//! process of its own so that counting slows neither:
//! `cargo bench -p linegate-diameter --bench allocations`.

#![allow(clippy::unwrap_used, missing_docs)]

mod sample;

use allocation_counter::measure;
use bytes::BytesMut;
use sample::{ours, theirs};

fn main() {
    let frame = ours::ccr();
    let dictionary = theirs::dictionary();
    let (to, origin) = (ours::reply_to(&frame), ours::origin());
    let session_id = std::str::from_utf8(to.session_id().unwrap()).unwrap();
    let (mut our_octets, mut their_octets) = (BytesMut::with_capacity(4096), Vec::with_capacity(4096));
    let print = |name: &str, run: &mut dyn FnMut()| {
        println!("{name:<18} {:>3} allocations", measure(run).count_total);
    };
    print("decode, linegate", &mut || assert_eq!(ours::read(&frame).requested, 2));
    print("decode, diameter", &mut || assert_eq!(theirs::read(&frame, &dictionary).requested, 2));
    print("encode, linegate", &mut || ours::write(&to, &origin, &mut our_octets));
    print("encode, diameter", &mut || theirs::write(session_id, &dictionary, &mut their_octets));
}
