//! The kill file, written by hand in an emergency.
//!
//! Every text stops something: what is not understood pauses everything. An order is never softer or narrower than the file's
//! first lines say, but that it sends nothing back where its scope is none. The same text is the same order, what the command line
//! writes is read as it was meant, and an order that is added takes none away.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use wavegate::daemon::kill_file::{parse, parse_all, text};
use wavegate::model::event::Event;
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use wavegate::model::state::State;
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
    let is_said = |line: &&str| line.parse::<KillScope>().is_ok_and(|scope| scope == kill.scope);
    assert!(kill.scope == KillScope::All || lines.iter().any(|line| is_said(line)), "{kill:?}");
    let is_said = |mode: KillMode| lines.contains(&mode.to_string().as_str());
    match kill.mode {
        KillMode::Pause => {}
        KillMode::Halt => assert!(is_said(KillMode::Halt) || is_said(KillMode::Revert), "{kill:?}"),
        KillMode::Revert => assert!(is_said(KillMode::Revert), "{kill:?}"),
    }
    let written = parse(&text(kill.mode, &kill.scope, &kill.reason), Timestamp::UNIX_EPOCH);
    assert_eq!((written.mode, &written.scope), (kill.mode, &kill.scope), "written {kill:?}, read {written:?}");
    let all = parse_all(words, Timestamp::UNIX_EPOCH);
    let (mode, scope) = (kill.mode, kill.scope.clone());
    let more = parse_all(&format!("{words}\n---\n{}", text(mode, &scope, &kill.reason)), Timestamp::UNIX_EPOCH);
    let orders = |kills: &[_]| -> Vec<_> { kills.iter().map(|kill: &Kill| (kill.mode, kill.scope.clone())).collect() };
    assert!(!all.is_empty() && orders(&more).starts_with(&orders(&all)), "{all:?} {more:?}");
    assert!(orders(&more).contains(&(mode, scope)), "{more:?}");
    // They go on record as they are.
    let mut state = State::default();
    for kill in more {
        state.apply(&Event::KillRequested { kill }).unwrap();
    }
    assert_survives(&Event::KillRequested { kill });
});
