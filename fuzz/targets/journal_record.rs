//! The journal's records: lines of JSON, one event each.
//!
//! Whatever can be read can be written and read again as the same event, under the name that the journal files it by. Applied
//! in turn, no record panics, and one that is refused leaves the state as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wavegate::model::event::Event;
use wavegate::model::state::State;
use wavegate_fuzz::records::{apply, assert_survives};

fuzz_target!(|bytes: &[u8]| {
    let mut state = State::default();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let Ok(event) = serde_json::from_slice::<Event>(line) else { continue };
        let written = assert_survives(&event);
        let read: Value = serde_json::from_str(&written).expect("read before");
        assert_eq!(read["event"], event.name(), "filed under another name");
        apply(&mut state, &event);
    }
});
