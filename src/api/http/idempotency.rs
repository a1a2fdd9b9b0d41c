//! Answers that were given, to be given again: the same key with the same request is the same request. Kept in memory, for a day;
//! proposals are known over restarts, too, because the journal holds their keys. A refusal changed nothing, and its cause may go away: it is
//! not kept. Nor is the answer to a stop order: the engine finds the same order while it is in force, and one that was lifted since must be
//! given anew.

use super::problem::Problem;
use crate::api::code::Code;
use crate::model::ids::Digest;
use crate::model::principal::PrincipalKind;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is kept: long enough for any client that tries again.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// So many answers are kept of people, and as many of all others; the oldest one goes first.
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
}

/// Answers that were given, and requests that are being answered.
#[derive(Debug, Default)]
pub struct Answers {
    of_people: Mutex<Inner>,
    of_others: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<Asked, Entry>,
    /// By the number of their line.
    oldest_first: BTreeMap<u64, Asked>,
    lines: u64,
}

#[derive(Debug)]
struct Entry {
    content: Digest,
    since: Instant,
    line: u64,
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
        let now = Instant::now();
        let mut inner = self.of(&asked);
        inner.forget(now);
        match inner.known.get(&asked) {
            Some(entry) if entry.content != content => Known::Refused(Problem::new(
                Code::KeyReused,
                "this idempotency key came with another request to this address; use a new key",
            )),
            Some(Entry { answer: Some(answer), .. }) => Known::Answered(answer.again()),
            Some(_) => Known::Refused(Problem::new(
                Code::KeyInFlight,
                "a request with this idempotency key is being answered; ask again in a second",
            )),
            None => {
                inner.add(asked.clone(), content, now);
                Known::New(Begun { answers: Arc::clone(self), asked: Some(asked) })
            }
        }
    }

    /// However much agents ask, the answers to people stay.
    fn of(&self, asked: &Asked) -> MutexGuard<'_, Inner> {
        let inner = if asked.by.0 == PrincipalKind::Human { &self.of_people } else { &self.of_others };
        inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, asked: Asked, content: Digest, since: Instant) {
        self.lines += 1;
        self.oldest_first.insert(self.lines, asked.clone());
        self.known.insert(asked, Entry { content, since, line: self.lines, answer: None });
    }

    fn remove(&mut self, asked: &Asked) {
        if let Some(entry) = self.known.remove(asked) {
            self.oldest_first.remove(&entry.line);
        }
    }

    /// Forgets what is old, and what is too much. A request that is being answered is never forgotten: it ends by itself.
    fn forget(&mut self, now: Instant) {
        let mut left = self.known.len();
        let mut gone = Vec::new();
        for asked in self.oldest_first.values() {
            let Some(entry) = self.known.get(asked) else { continue };
            if now.duration_since(entry.since) < KEPT && left < ANSWERS {
                break;
            }
            if entry.answer.is_some() {
                gone.push(asked.clone());
                left -= 1;
            }
        }
        gone.iter().for_each(|asked| self.remove(asked));
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
            if let Some(asked) = self.asked.take()
                && let Some(entry) = self.answers.of(&asked).known.get_mut(&asked)
            {
                entry.answer = Some(answer);
            }
        }
        Response::from_parts(head, Body::from(body))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.answers.of(&asked).remove(&asked);
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
        }
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
        let inner = answers.of_people.lock().unwrap();
        assert!(inner.known.is_empty() && inner.oldest_first.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answer_goes_first_and_one_in_flight_never() {
        let answers = Arc::new(Answers::default());
        let first = new(answers.begin(asked("ana", "first"), content("a")));
        for n in 0..ANSWERS + 100 {
            new(answers.begin(asked("ana", &n.to_string()), content("a"))).answered("".into_response()).await;
        }
        // Neither refusals nor agents take anything of it.
        for n in 0..ANSWERS + 100 {
            drop(new(answers.begin(asked("ana", &format!("refused {n}")), content("a"))));
            let by = (PrincipalKind::Agent, "bot".into(), String::new());
            let asked = Asked { by, ..asked("bot", &n.to_string()) };
            new(answers.begin(asked, content("a"))).answered("".into_response()).await;
        }
        let inner = answers.of_people.lock().unwrap();
        assert!((ANSWERS - 1..=ANSWERS).contains(&inner.known.len()), "{}", inner.known.len());
        assert_eq!(inner.oldest_first.len(), inner.known.len());
        assert!(inner.known.contains_key(&asked("ana", "first")) && !inner.known.contains_key(&asked("ana", "0")));
        assert!(inner.known.contains_key(&asked("ana", "200")));
        drop(inner);
        drop(first);
    }
}
