//! Lines on the daemon's socket, from whoever may open the state directory.
//!
//! Whatever is a request can be written and read again as the same request. A change set that it carries is admitted twice
//! alike; and every answer is one line that reads back as that answer, whatever untrusted text it quotes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wavegate::api::code::Code;
use wavegate::api::service::admit;
use wavegate::api::verbs::{Request, Response};
use wavegate::model::halt::KillScope;

fuzz_target!(|bytes: &[u8]| {
    let request = match serde_json::from_slice::<Request>(bytes) {
        Ok(request) => request,
        Err(error) => return answer(format!("not a request that this release knows: {error}")),
    };
    let text = serde_json::to_string(&request).expect("a request can be written");
    assert!(!text.contains('\n'), "a request of several lines");
    let again: Request = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(serde_json::to_string(&again).expect("a request can be written"), text);
    match request {
        Request::Propose { submission } | Request::Preview { submission } => {
            let read = || admit(&submission.file, &submission.text, &submission.templates);
            let admitted = read();
            assert_eq!(admitted, read());
            if let Err(message) = admitted {
                answer(message);
            }
        }
        Request::Kill { scope, .. } => {
            // The command line and the kill file write scopes in words: the same scope must come back.
            let words = scope.to_string();
            let named = words.split_once('=').is_none_or(|(_, name)| !name.is_empty());
            assert_eq!(words.parse::<KillScope>().ok(), named.then_some(scope));
        }
        _ => {}
    }
});

fn answer(message: String) {
    for answer in [Response::BadInput { message: message.clone() }, Response::Refused { code: Code::Forbidden, message }] {
        let line = serde_json::to_string(&answer).expect("an answer can be written");
        assert!(!line.contains('\n'), "an answer of several lines");
        assert_eq!(serde_json::from_str::<Response>(&line).ok(), Some(answer));
    }
}
