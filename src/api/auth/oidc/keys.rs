//! An issuer's keys: fetched when they are needed, remembered, and asked for again at most so often, whatever comes in at the doors.
//!
//! Keys are fresh for [`FRESH`]. Older ones still serve, and are asked for anew in the background: nobody waits at the door, with a stop order
//! in hand, for an issuer that hangs. While it does not answer they serve for [`STALE`]; then nobody is let in by its tokens, since a key that
//! it took back would still be believed.
//!
//! So a key that the issuer took back is believed for [`FRESH`], and then by whoever comes until the issuer has answered what the first of
//! them set off: mostly that one request. When nobody comes for a while, that one may come as late as [`STALE`].

use crate::cloud::jwks::Documents;
use crate::config::identity::OidcConfig;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// For so long nobody asks whether the issuer took a key back.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// An issuer may be away for so long and its tokens still hold: long enough for its restart, short enough for a stolen key.
const STALE: Duration = Duration::from_secs(3600);
/// An unknown key is asked for at most so often: tokens with made-up keys must not make this daemon a load on the issuer.
const AGAIN: Duration = Duration::from_secs(30);
/// After a failure it is asked again sooner: people wait at the door.
const AGAIN_FAILED: Duration = Duration::from_secs(5);
/// For both documents together.
const FETCH_WITHIN: Duration = Duration::from_secs(5);
/// Large issuers have a dozen.
const KEYS_MAX: usize = 100;

/// The keys of one issuer.
#[derive(Debug)]
pub struct Keys {
    issuer: String,
    jwks_url: Option<String>,
    documents: Arc<dyn Documents>,
    known: Mutex<Known>,
    /// Held while they are asked for: one request is under way at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Vec<Jwk>,
    fetched: Option<Instant>,
    /// When the issuer may be asked again.
    not_before: Option<Instant>,
    failure: Option<String>,
}

impl Known {
    fn is_younger(&self, than: Duration, now: Instant) -> bool {
        self.fetched.is_some_and(|at| now.saturating_duration_since(at) < than)
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| now >= at)
    }

    fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Jwk> {
        let mut fitting = self.keys.iter().filter(|key| fits(key, algorithm));
        match kid {
            Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid)),
            // Without a name it is the only one that it can be, or none.
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

impl Keys {
    /// Of this issuer.
    pub fn of(config: &OidcConfig, documents: Arc<dyn Documents>) -> Arc<Self> {
        Arc::new(Self {
            issuer: config.issuer.clone(),
            jwks_url: config.jwks_url.clone(),
            documents,
            known: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// The key of this name, for this algorithm.
    ///
    /// # Errors
    /// In words: there is none, or the issuer does not answer.
    pub async fn find(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, String> {
        if let Some(key) = self.held(FRESH, kid, algorithm) {
            return key;
        }
        if let Some(key) = self.held(STALE, kid, algorithm) {
            self.refresh();
            return key;
        }
        // Whoever finds somebody else's request under way waits for the answer to it.
        let is_under_way = self.turn.try_lock().is_err();
        if is_under_way || self.known().may_ask(Instant::now()) {
            let _turn = self.turn.lock().await;
            if let Some(key) = self.held(FRESH, kid, algorithm) {
                return key;
            }
            if self.known().may_ask(Instant::now()) {
                self.ask().await;
            }
        }
        let known = self.known();
        if !known.is_younger(STALE, Instant::now()) {
            let why = known.failure.as_deref().unwrap_or("it is being asked");
            return Err(format!("the token cannot be checked: the keys of its issuer cannot be had ({why})"));
        }
        known.key(kid, algorithm).map_or_else(|| Err(unknown()), usable)
    }

    fn held(&self, younger: Duration, kid: Option<&str>, algorithm: Algorithm) -> Option<Result<DecodingKey, String>> {
        let known = self.known();
        if known.is_younger(younger, Instant::now()) { known.key(kid, algorithm).map(usable) } else { None }
    }

    /// Asks the issuer while nobody waits for it, unless it is being asked or was asked just now.
    fn refresh(self: &Arc<Self>) {
        if !self.known().may_ask(Instant::now()) {
            return;
        }
        let keys = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(_turn) = keys.turn.try_lock() else { return };
            if keys.known().may_ask(Instant::now()) {
                keys.ask().await;
            }
        });
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the issuer, and remembers what it said, or that it did not.
    async fn ask(&self) {
        // Whoever waits may go away in the middle: it counts as a failure until the answer is there.
        self.known().not_before = Some(Instant::now() + AGAIN_FAILED);
        let answer = tokio::time::timeout(FETCH_WITHIN, self.fetch()).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", FETCH_WITHIN.as_secs())));
        let now = Instant::now();
        let mut known = self.known();
        match answer {
            Ok(keys) => {
                tracing::debug!(issuer = self.issuer, keys = keys.len(), "the keys of an issuer are read");
                *known = Known { keys, fetched: Some(now), not_before: Some(now + AGAIN), failure: None };
            }
            Err(why) => {
                tracing::warn!(issuer = self.issuer, why, "the keys of an issuer of tokens cannot be had");
                known.not_before = Some(now + AGAIN_FAILED);
                known.failure = Some(why);
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<Jwk>, String> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        parse(&self.documents.get(&url).await?).ok_or_else(|| format!("`{url}` holds no set of keys"))
    }

    /// Source: OpenID Connect Discovery 1.0 section 4.3: the issuer in the document must be the one that was asked for.
    async fn discover(&self) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document = self.documents.get(&url).await?;
        let found: Discovery =
            serde_json::from_slice(&document).map_err(|_| format!("`{url}` does not say where the keys are"))?;
        if found.issuer != self.issuer {
            return Err(format!("`{url}` speaks for another issuer"));
        }
        // What came over HTTPS must not send us to what does not.
        match self.issuer.starts_with("https://") && !found.jwks_uri.starts_with("https://") {
            true => Err(format!("`{url}` says that the keys are where there is no https")),
            false => Ok(found.jwks_uri),
        }
    }
}

/// The public keys of a set. One that this release does not know is passed over, and hides no other.
fn parse(document: &[u8]) -> Option<Vec<Jwk>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(document).ok()?;
    Some(set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).take(KEYS_MAX).collect())
}

fn usable(key: &Jwk) -> Result<DecodingKey, String> {
    DecodingKey::from_jwk(key).map_err(|_| "the token's key, as its issuer shows it, is no key".into())
}

fn unknown() -> String {
    "the token is signed with a key that its issuer does not show (`kid`)".into()
}

/// True when a key is for this algorithm and for signatures. INVARIANT: a key is never used as one of another type; a public key that
/// is taken for a shared secret would let everybody sign.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let common = &key.common;
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let is_of_algorithm = common.key_algorithm.is_none_or(|own| own == algorithm.into());
    let is_of_type = match (algorithm, &key.algorithm) {
        (
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
            AlgorithmParameters::RSA(_),
        ) => true,
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(key)) => key.curve == EllipticCurve::P256,
        (Algorithm::ES384, AlgorithmParameters::EllipticCurve(key)) => key.curve == EllipticCurve::P384,
        (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(key)) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    is_for_signatures && is_of_algorithm && is_of_type
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::BoxFuture;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// An issuer of the test: what it says, and how often it was asked.
    #[derive(Debug, Default)]
    struct Issuer {
        kids: Mutex<Option<Vec<&'static str>>>,
        asked: AtomicUsize,
        takes: Mutex<Duration>,
    }

    impl Issuer {
        fn says(&self, kids: Option<&[&'static str]>) {
            *self.kids.lock().unwrap() = kids.map(<[_]>::to_vec);
        }
        fn takes(&self, time: Duration) {
            *self.takes.lock().unwrap() = time;
        }
        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    impl Documents for Issuer {
        fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>> {
            Box::pin(async {
                self.asked.fetch_add(1, Ordering::Relaxed);
                let takes = *self.takes.lock().unwrap();
                tokio::time::sleep(takes).await;
                let kids = self.kids.lock().unwrap().clone().ok_or("away")?;
                let keys: Vec<Value> = kids.iter().map(|kid| key(kid)).collect();
                Ok(json!({ "keys": keys }).to_string().into_bytes())
            })
        }
    }

    fn key(kid: &str) -> Value {
        json!({"kid": kid, "kty": "OKP", "crv": "Ed25519", "use": "sig", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    fn keys(takes: Duration) -> (Arc<Issuer>, Arc<Keys>) {
        let issuer = Arc::new(Issuer::default());
        issuer.takes(takes);
        issuer.says(Some(&["a"]));
        let text =
            "{issuer: 'https://a.example', audience: w, jwks_url: 'https://a.example/keys', kind: human, roles: {}}";
        let config = serde_yaml::from_str(text).unwrap();
        let documents: Arc<dyn Documents> = Arc::clone(&issuer) as _;
        (issuer, Keys::of(&config, documents))
    }

    async fn has(keys: &Arc<Keys>, kid: &str) -> bool {
        keys.find(Some(kid), Algorithm::EdDSA).await.is_ok()
    }

    async fn wait(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    /// Lets what was set off in the background come to its end, if it takes no time.
    async fn settle() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_remembered_and_an_unknown_one_is_asked_for_once_in_a_while() {
        let (issuer, keys) = keys(Duration::ZERO);
        for _ in 0..10 {
            assert!(has(&keys, "a").await && !has(&keys, "b").await);
        }
        assert_eq!(issuer.asked(), 1);
        wait(31).await;
        issuer.says(Some(&["b"]));
        // A key that is known and fresh asks nobody; an unknown one does, and the one that is gone is gone.
        assert!(has(&keys, "a").await);
        assert_eq!(issuer.asked(), 1);
        assert!(has(&keys, "b").await && !has(&keys, "a").await);
        assert_eq!(issuer.asked(), 2);
        wait(601).await;
        assert!(has(&keys, "b").await);
        settle().await;
        assert_eq!(issuer.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_key_that_is_there() {
        let (issuer, keys) = keys(Duration::ZERO);
        assert!(has(&keys, "a").await);
        issuer.takes(Duration::from_secs(3600));
        wait(601).await;
        let began = Instant::now();
        for _ in 0..20 {
            assert!(has(&keys, "a").await);
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "somebody waited for an issuer that hangs");
        settle().await;
        assert_eq!(issuer.asked(), 2, "it is asked in the background, and once");
        // A key that is not there is waited for.
        assert!(!has(&keys, "b").await);
        assert_eq!((began.elapsed().as_secs(), issuer.asked()), (5, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_was_taken_back_is_believed_once_more_at_most() {
        let (issuer, keys) = keys(Duration::ZERO);
        assert!(has(&keys, "a").await);
        issuer.says(Some(&["b"]));
        wait(601).await;
        assert!(has(&keys, "a").await);
        settle().await;
        assert!(!has(&keys, "a").await && has(&keys, "b").await);
        assert_eq!(issuer.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn old_keys_serve_for_an_hour_while_the_issuer_is_away_and_then_nobody_comes_in() {
        let (issuer, keys) = keys(Duration::ZERO);
        assert!(has(&keys, "a").await);
        issuer.says(None);
        for _ in 0..59 {
            wait(60).await;
            assert!(has(&keys, "a").await);
            settle().await;
        }
        wait(61).await;
        let why = keys.find(Some("a"), Algorithm::EdDSA).await.unwrap_err();
        assert!(why.contains("cannot be had (away)"), "{why}");
        let asked = issuer.asked();
        assert!(!has(&keys, "a").await);
        assert_eq!(issuer.asked(), asked, "it was asked again at once");
        issuer.says(Some(&["a"]));
        wait(6).await;
        assert!(has(&keys, "a").await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_is_under_way_and_none_takes_longer_than_five_seconds() {
        let (issuer, slow) = keys(Duration::from_secs(2));
        let (a, b, c) = tokio::join!(has(&slow, "a"), has(&slow, "a"), has(&slow, "b"));
        assert_eq!((a, b, c, issuer.asked()), (true, true, false, 1));
        let (issuer, hanging) = keys(Duration::from_secs(3600));
        let began = Instant::now();
        assert!(!has(&hanging, "a").await);
        assert_eq!((began.elapsed().as_secs(), issuer.asked()), (5, 1));
    }

    #[test]
    fn a_key_is_for_its_own_algorithm_and_for_signatures() {
        let parse = |key: Value| serde_json::from_value::<Jwk>(key).unwrap();
        let rsa = || json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
        let with = |mut key: Value, name: &str, value: Value| {
            key[name] = value;
            parse(key)
        };
        assert!(fits(&parse(rsa()), Algorithm::RS256) && fits(&parse(rsa()), Algorithm::PS512));
        assert!(!fits(&parse(rsa()), Algorithm::ES256) && !fits(&parse(rsa()), Algorithm::HS256));
        assert!(!fits(&with(rsa(), "alg", json!("RS512")), Algorithm::RS256));
        assert!(!fits(&with(rsa(), "use", json!("enc")), Algorithm::RS256));
        assert!(!fits(&with(rsa(), "key_ops", json!(["sign"])), Algorithm::RS256));
        assert!(fits(&with(rsa(), "key_ops", json!(["verify"])), Algorithm::RS256));
        let ec = |curve: &str| parse(json!({"kty": "EC", "crv": curve, "x": "AQAB", "y": "AQAB"}));
        assert!(fits(&ec("P-256"), Algorithm::ES256) && !fits(&ec("P-384"), Algorithm::ES256));
        let shared = parse(json!({"kty": "oct", "k": "AQAB"}));
        let all = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
        assert!(all.into_iter().all(|algorithm| !fits(&shared, algorithm)));
    }

    #[test]
    fn a_key_that_is_not_known_hides_no_other() {
        let set = json!({"keys": [{"kty": "new", "x": 1}, 7, {"x5c": 3}, key("a")]}).to_string();
        assert!(parse(set.as_bytes()).unwrap().iter().any(|key| key.common.key_id.as_deref() == Some("a")));
        assert!(parse(b"[]").is_none() && parse(b"{}").is_none());
    }
}
