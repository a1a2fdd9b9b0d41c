//! The daemon's own configuration, written by an SRE.
//!
//! Whatever is refused is refused with words that do nothing to a terminal, and twice alike. What is accepted opens no door in clear
//! beyond this machine.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wavegate::config::file::parse;
use wavegate_fuzz::text::assert_shows_all;

fuzz_target!(|text: &str| match (parse("fuzzed.yaml", text), parse("fuzzed.yaml", text)) {
    (Ok(config), Ok(_)) => {
        let open = config.http.filter(|http| !http.listen.ip().is_loopback());
        assert!(open.is_none_or(|http| http.tls.is_some()), "a door beyond this machine without TLS");
    }
    (Err(one), Err(two)) => {
        assert_eq!(one.to_string(), two.to_string());
        assert_shows_all("a fault", &one.to_string());
    }
    (one, _) => panic!("read in two ways: {}", one.is_ok()),
});
