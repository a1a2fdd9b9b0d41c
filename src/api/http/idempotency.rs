//! Answers that were given, to be given again: the same key with the same request is the same request. Kept in memory, for a day;
//! proposals are known over restarts, too, because the journal holds their keys. A refusal changed nothing, and its cause may go away: it is
//! not kept.

use super::problem::Problem;
use crate::api::code::Code;
use crate::model::ids::Digest;
use crate::model::principal::PrincipalKind;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is kept: long enough for any client that tries again.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The answer to a kill is kept for whoever lost it, and no longer: the order may have been lifted since. One that is in force still is
/// found there, with or without a key.
pub const KILL_KEPT: Duration = Duration::from_secs(60);
/// So many answers are kept; the oldest one goes first.
const ANSWERS: usize = 10_000;
/// Larger answers are not kept: only the check of a pipeline has any, and it changes nothing.
const ANSWER_MAX: usize = 16 * 1024;
/// On an answer that was given before.
const REPLAY: &str = "idempotent-replay";

/// A request with a key, as it is known: by whom, for which address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// Keys of others are others.
    pub by: (PrincipalKind, String, String),
    /// Method and path.
    pub what: String,
    /// The key itself.
    pub key: String,
    /// Of a stop order: its content. INVARIANT: no stop order is refused for its key. Another one under the same key (`halt` after `pause`)
    /// is a new one.
    pub kill: Option<Digest>,
}

impl Asked {
    fn kept(&self) -> Duration {
        if self.kill.is_some() { KILL_KEPT } else { KEPT }
    }
}

/// Answers that were given, and requests that are being answered.
#[derive(Debug, Default)]
pub struct Answers {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<Asked, Entry>,
    oldest_first: VecDeque<(Instant, Asked)>,
}

#[derive(Debug)]
struct Entry {
    content: Digest,
    since: Instant,
    /// None: it is being answered.
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What is known of a request.
pub enum Known {
    /// Nothing: it is to be answered now.
    New(Begun),
    /// It was answered.
    Answered(Response),
    /// The key was used for something else, or is being used.
    Refused(Problem),
}

impl Answers {
    /// Looks a request up, and notes that it is being answered. What was answered too long ago is asked anew.
    pub fn begin(self: &Arc<Self>, asked: Asked, content: Digest) -> Known {
        let (now, kept) = (Instant::now(), asked.kept());
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.forget(now);
        let current = |entry: &&Entry| entry.answer.is_none() || now.duration_since(entry.since) < kept;
        match inner.known.get(&asked).filter(current) {
            Some(entry) if entry.content != content => Known::Refused(Problem::new(
                Code::KeyReused,
                "this idempotency key came with another request to this address; use a new key",
            )),
            Some(Entry { answer: Some(answer), .. }) => Known::Answered(answer.again()),
            // The service knows the same order when it is in force: this one goes on, and the first one's answer is the one to be kept.
            Some(_) if asked.kill.is_some() => Known::New(Begun { answers: Arc::clone(self), asked: None }),
            Some(_) => Known::Refused(Problem::new(
                Code::KeyInFlight,
                "a request with this idempotency key is being answered; ask again in a second",
            )),
            None => {
                inner.known.insert(asked.clone(), Entry { content, since: now, answer: None });
                inner.oldest_first.push_back((now, asked.clone()));
                Known::New(Begun { answers: Arc::clone(self), asked: Some(asked) })
            }
        }
    }
}

impl Inner {
    /// Forgets what is old, and what is too much. A request that is being answered is never forgotten: it ends by itself.
    fn forget(&mut self, now: Instant) {
        let mut in_flight = Vec::new();
        while let Some((since, asked)) = self.oldest_first.front() {
            let full = self.known.len() >= ANSWERS || self.oldest_first.len() >= 2 * ANSWERS;
            if now.duration_since(*since) < KEPT && !full {
                break;
            }
            let (since, asked) = (*since, asked.clone());
            self.oldest_first.pop_front();
            match self.known.get(&asked) {
                // An entry that was begun again has a newer line of its own.
                Some(entry) if entry.since != since => {}
                Some(Entry { answer: None, .. }) => in_flight.push((since, asked)),
                _ => drop(self.known.remove(&asked)),
            }
            if in_flight.len() >= ANSWERS {
                break;
            }
        }
        for line in in_flight.into_iter().rev() {
            self.oldest_first.push_front(line);
        }
    }
}

impl Answer {
    fn again(&self) -> Response {
        let mut response = (self.status, Body::from(self.body.clone())).into_response();
        *response.headers_mut() = self.headers.clone();
        response.headers_mut().insert(REPLAY, HeaderValue::from_static("true"));
        response
    }
}

/// A request that is being answered. Without an answer (dropped) it was never asked.
pub struct Begun {
    answers: Arc<Answers>,
    asked: Option<Asked>,
}

impl Begun {
    /// Keeps the answer to what was done. A refusal is not kept: a target that another rollout owns, or a pipeline that does not check, may be
    /// free or mended by the next try.
    pub async fn answered(mut self, response: Response) -> Response {
        if !response.status().is_success() {
            return response;
        }
        let (head, body) = response.into_parts();
        // Bodies of answers to POST are whole and in memory: this does not wait, and cannot fail.
        let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
            return Problem::new(Code::Internal, "the answer broke off").into_response();
        };
        if body.len() <= ANSWER_MAX {
            let answer = Answer { status: head.status, headers: head.headers.clone(), body: body.clone() };
            let mut inner = self.answers.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = self.asked.as_ref().and_then(|asked| inner.known.get_mut(asked)) {
                entry.answer = Some(answer);
                drop(inner);
                self.asked = None;
            }
        }
        Response::from_parts(head, Body::from(body))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.answers.inner.lock().unwrap_or_else(PoisonError::into_inner).known.remove(&asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, key: &str) -> Asked {
        Asked {
            by: (PrincipalKind::Human, name.into(), String::new()),
            what: "POST /v1/rollouts/r/pause".into(),
            key: key.into(),
            kill: None,
        }
    }

    fn kill(key: &str, order: &str) -> Asked {
        Asked { kill: Some(content(order)), ..asked("ana", key) }
    }

    fn content(text: &str) -> Digest {
        Digest::of_bytes(text.as_bytes())
    }

    fn new(known: Known) -> Begun {
        match known {
            Known::New(begun) => begun,
            Known::Answered(_) => panic!("answered"),
            Known::Refused(problem) => panic!("{problem:?}"),
        }
    }

    fn refused(known: Known) -> Code {
        match known {
            Known::Refused(problem) => problem.code(),
            _ => panic!("not refused"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_request_has_the_same_answer_for_a_day() {
        let answers = Arc::new(Answers::default());
        let begun = new(answers.begin(asked("ana", "1"), content("a")));
        assert_eq!(refused(answers.begin(asked("ana", "1"), content("a"))), Code::KeyInFlight);
        assert_eq!(refused(answers.begin(asked("ana", "1"), content("b"))), Code::KeyReused);
        // Another's key is another key.
        drop(new(answers.begin(asked("bo", "1"), content("b"))));
        begun.answered((StatusCode::CREATED, [("location", "/v1/rollouts/r")], "body").into_response()).await;
        assert_eq!(refused(answers.begin(asked("ana", "1"), content("b"))), Code::KeyReused);
        let Known::Answered(again) = answers.begin(asked("ana", "1"), content("a")) else { panic!() };
        assert_eq!(
            (again.status(), &again.headers()["location"]),
            (StatusCode::CREATED, &HeaderValue::from_static("/v1/rollouts/r"))
        );
        assert_eq!(again.headers()[REPLAY], "true");
        assert_eq!(axum::body::to_bytes(again.into_body(), 100).await.unwrap(), "body");
        tokio::time::advance(KEPT).await;
        drop(new(answers.begin(asked("ana", "1"), content("b"))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_a_kill_does_not_outlive_the_kill_for_long() {
        let answers = Arc::new(Answers::default());
        let ask = || answers.begin(kill("1", "a"), content("a"));
        new(ask()).answered("acknowledged".into_response()).await;
        assert!(matches!(ask(), Known::Answered(_)));
        tokio::time::advance(KILL_KEPT).await;
        new(ask()).answered("acknowledged anew".into_response()).await;
        assert!(matches!(ask(), Known::Answered(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn no_kill_is_refused_for_its_key() {
        let answers = Arc::new(Answers::default());
        let ask = |order: &str| answers.begin(kill("1", order), content(order));
        let first = new(ask("pause"));
        // While the first one waits to be acknowledged: the same again, and a harder one.
        let (same, harder) = (new(ask("pause")), new(ask("halt")));
        same.answered(StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
        harder.answered("halted".into_response()).await;
        drop(new(ask("pause")));
        first.answered("paused".into_response()).await;
        for (order, said) in [("pause", "paused"), ("halt", "halted")] {
            let Known::Answered(again) = ask(order) else { panic!("{order}") };
            assert_eq!(axum::body::to_bytes(again.into_body(), 100).await.unwrap(), said);
        }
        drop(new(ask("revert")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_asked_anew() {
        let answers = Arc::new(Answers::default());
        let ask = |text: &str| answers.begin(asked("ana", "1"), content(text));
        for status in [400, 403, 404, 409, 413, 422, 429, 500, 503] {
            new(ask("a")).answered(StatusCode::from_u16(status).unwrap().into_response()).await;
        }
        // It used nothing up, the key neither.
        new(ask("b")).answered(StatusCode::NO_CONTENT.into_response()).await;
        assert!(matches!(ask("b"), Known::Answered(_)));
        assert_eq!(refused(ask("a")), Code::KeyReused);
    }

    #[tokio::test(start_paused = true)]
    async fn what_had_no_lasting_answer_was_never_asked() {
        let answers = Arc::new(Answers::default());
        for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::CONFLICT] {
            new(answers.begin(asked("ana", "1"), content("a"))).answered(status.into_response()).await;
        }
        new(answers.begin(asked("ana", "1"), content("a"))).answered("x".repeat(ANSWER_MAX + 1).into_response()).await;
        drop(new(answers.begin(asked("ana", "1"), content("a"))));
        assert!(answers.inner.lock().unwrap().known.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answer_goes_first_and_one_in_flight_never() {
        let answers = Arc::new(Answers::default());
        let first = new(answers.begin(asked("ana", "first"), content("a")));
        for n in 0..ANSWERS + 100 {
            new(answers.begin(asked("ana", &n.to_string()), content("a"))).answered("".into_response()).await;
        }
        let inner = answers.inner.lock().unwrap();
        assert_eq!(inner.known.len(), ANSWERS);
        assert!(inner.oldest_first.len() <= ANSWERS + 1);
        assert!(inner.known.contains_key(&asked("ana", "first")) && !inner.known.contains_key(&asked("ana", "0")));
        assert!(inner.known.contains_key(&asked("ana", "200")));
        drop(inner);
        drop(first);
    }
}
