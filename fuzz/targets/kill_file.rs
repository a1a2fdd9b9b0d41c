//! The kill file, written by hand in an emergency.
//!
//! Every text stops something: what is not understood pauses everything. An order is never softer or narrower than the file's
//! first lines say, the same text is the same order, and what the command line writes is read as it was meant.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use wavegate::daemon::kill_file::{parse, text};
use wavegate::model::event::Event;
use wavegate::model::halt::{KillDoor, KillMode, KillScope};
use wavegate_fuzz::records::assert_survives;
use wavegate_fuzz::text::assert_shows_all;

fuzz_target!(|words: &str| {
    let kill = parse(words, Timestamp::UNIX_EPOCH);
    assert_eq!(kill, parse(words, Timestamp::UNIX_EPOCH));
    assert_eq!(kill.door, KillDoor::File);
    assert_shows_all("the reason", &kill.reason);
    assert!(kill.reason.chars().count() <= 500);
    // Nothing but a line of its own narrows an order, and nothing but a word of its own hardens it.
    let lines: Vec<&str> = words.lines().map(str::trim).collect();
    assert!(kill.scope == KillScope::All || lines.contains(&kill.scope.to_string().as_str()), "{kill:?}");
    assert!(kill.mode == KillMode::Pause || lines.contains(&kill.mode.to_string().as_str()), "{kill:?}");
    let written = parse(&text(kill.mode, &kill.scope, &kill.reason), Timestamp::UNIX_EPOCH);
    assert_eq!((written.mode, &written.scope), (kill.mode, &kill.scope), "written {kill:?}, read {written:?}");
    assert_survives(&Event::KillRequested { kill });
});
