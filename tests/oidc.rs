//! Signed bearer tokens against an issuer of the test, over the network as it is: what is let in, and every way in which a token can be
//! wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
    PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize, SignatureAlgorithm,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use support::{Daemon, http};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use wavegate::api::auth::{Auth, Unauthenticated};
use wavegate::config::identity::IdentityConfig;
use wavegate::model::principal::{Caller, Door, PrincipalKind, Role};

/// What the issuer answers: status and body by path; and what it was asked.
#[derive(Default)]
struct Site {
    pages: BTreeMap<String, (u16, Vec<u8>)>,
    asked: Vec<String>,
}

/// An issuer with one key, on a port of its own.
struct Issuer {
    url: String,
    site: Arc<Mutex<Site>>,
    key: Key,
}

struct Key {
    kid: &'static str,
    algorithm: Algorithm,
    encoding: EncodingKey,
    public: Vec<u8>,
}

impl Key {
    fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        let generate = |with: &'static SignatureAlgorithm| KeyPair::generate_for(with).unwrap();
        let (pair, make): (KeyPair, fn(&[u8]) -> EncodingKey) = match algorithm {
            Algorithm::ES256 => (generate(&PKCS_ECDSA_P256_SHA256), EncodingKey::from_ec_der),
            Algorithm::EdDSA => (generate(&PKCS_ED25519), EncodingKey::from_ed_der),
            _ => (KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), EncodingKey::from_rsa_der),
        };
        let der = match algorithm {
            Algorithm::RS256 => pkcs1(&pair.serialize_der()),
            _ => pair.serialize_der(),
        };
        Self { kid, algorithm, encoding: make(&der), public: pair.subject_public_key_info() }
    }

    fn jwk(&self) -> Value {
        let mut jwk = match self.algorithm {
            // The library knows Ed25519 keys of one length, and these have the public half with them.
            Algorithm::EdDSA => {
                let x = BASE64.encode(&self.public[self.public.len() - 32..]);
                json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x})
            }
            other => serde_json::to_value(Jwk::from_encoding_key(&self.encoding, other).unwrap()).unwrap(),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(|_| (), claims)
    }

    fn sign_with(&self, change: impl FnOnce(&mut Header), claims: &Value) -> String {
        let mut header = Header { kid: Some(self.kid.into()), ..Header::new(self.algorithm) };
        change(&mut header);
        encode(&header, claims, &self.encoding).unwrap()
    }
}

/// The RSA key inside PKCS #8: its last field. Source: RFC 5958 section 2.
fn pkcs1(pkcs8: &[u8]) -> Vec<u8> {
    // The algorithm's identifier ends with a NULL; then comes an octet string with a length of two bytes.
    let at = pkcs8.windows(4).position(|bytes| bytes[..3] == [5, 0, 4]).unwrap();
    pkcs8[at + 6..].to_vec()
}

impl Issuer {
    fn start(algorithm: Algorithm) -> Self {
        Self::behind(algorithm, None)
    }

    fn behind(algorithm: Algorithm, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = match tls {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        let site: Arc<Mutex<Site>> = Arc::default();
        let shared = Arc::clone(&site);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = match &tls {
                    Some(tls) => {
                        let server = ServerConnection::new(Arc::clone(tls)).unwrap();
                        answer(StreamOwned::new(server, stream), &shared)
                    }
                    None => answer(stream, &shared),
                };
            }
        });
        let issuer = Self { url, site, key: Key::new("key-1", algorithm) };
        let discovery = json!({"issuer": issuer.url, "jwks_uri": format!("{}/keys", issuer.url)});
        issuer.page("/.well-known/openid-configuration", 200, discovery.to_string());
        issuer.shows(&[&issuer.key]);
        issuer
    }

    fn page(&self, path: &str, status: u16, body: String) {
        self.site.lock().unwrap().pages.insert(path.into(), (status, body.into_bytes()));
    }

    fn shows(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.page("/keys", 200, json!({ "keys": keys }).to_string());
    }

    fn asked(&self) -> usize {
        self.site.lock().unwrap().asked.iter().filter(|path| *path == "/keys").count()
    }

    /// Claims that are good, with these changes; null takes one away.
    fn claims(&self, changes: Value) -> Value {
        let now = jsonwebtoken::get_current_timestamp();
        let mut claims = json!({
            "iss": self.url, "aud": "wavegate", "sub": "user-1", "iat": now, "nbf": now, "exp": now + 300,
            "email": "ada@example.com", "org": "platform", "groups": ["sre-oncall", "everybody"],
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    fn auth(&self) -> (tempfile::TempDir, Auth) {
        let text = format!(
            "oidc: [{{issuer: '{}', audience: wavegate, kind: human, claims: {{name: email, party: org}}, \
             roles: {{sre-oncall: [operator, approver], devs: [author]}}}}]",
            self.url
        );
        let config: IdentityConfig = serde_yaml::from_str(&text).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let auth = Auth::open(dir.path(), &config).unwrap();
        (dir, auth)
    }
}

fn answer(mut stream: impl Read + Write, site: &Mutex<Site>) -> std::io::Result<()> {
    let mut lines = BufReader::new(&mut stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    drop(lines);
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = {
        let mut site = site.lock().unwrap();
        site.asked.push(path.clone());
        site.pages.get(&path).cloned().unwrap_or((404, vec![]))
    };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nlocation: /keys\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    stream.flush()
}

async fn why(auth: &Auth, token: &str) -> String {
    match auth.bearer(token, Door::Http).await {
        Ok(caller) => panic!("{caller:?} came in"),
        Err(why) => {
            let said = format!("{why} {why:?}");
            assert!(token.len() < 20 || !said.contains(&token[token.len() - 20..]), "{said}");
            why.to_string()
        }
    }
}

async fn who(auth: &Auth, token: &str) -> Caller {
    auth.bearer(token, Door::Http).await.unwrap()
}

/// A server's side of TLS for `localhost`, and the authority behind it, in PEM.
fn tls() -> (Arc<ServerConfig>, String) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    (Arc::new(config), authority.pem())
}

/// The built daemon, its HTTP door, and an issuer behind TLS of an authority that the system trusts, or does not.
#[test]
fn the_daemon_fetches_keys_over_https_from_an_issuer_that_the_system_trusts() {
    let (tls, authority) = tls();
    let issuer = Issuer::behind(Algorithm::ES256, Some(tls));
    let token = issuer.key.sign(&issuer.claims(json!({})));
    let me = |trusted: bool| {
        let mut daemon = Daemon::prepare(vec![], &[]);
        let config = daemon.write(
            "wavegate.yaml",
            &format!(
                "version: 1\nhttp: {{listen: 127.0.0.1:0}}\nidentity: {{oidc: [{{issuer: '{}', audience: wavegate, kind: human, \
                 claims: {{name: email, party: org}}, roles: {{sre-oncall: [operator]}}}}]}}\n",
                issuer.url
            ),
        );
        for arg in ["--config", config.to_str().unwrap()] {
            daemon.serve_arg(arg);
        }
        // The system's authorities, for this process: with the issuer's, or one that signed nothing.
        let other = if trusted { authority.clone() } else { self::tls().1 };
        let file = daemon.write("authorities.pem", &other);
        daemon.set_env("SSL_CERT_FILE", file.to_str().unwrap());
        daemon.run();
        let address = daemon.ready_line().split_once(", http http://").unwrap().1.trim().parse().unwrap();
        let bearer = format!("Bearer {token}");
        let answer = http::send(address, "GET", "/v1/me", &[("authorization", &bearer)], b"").unwrap();
        (answer.status(), serde_json::from_slice::<Value>(&answer.body).unwrap())
    };
    let (status, caller) = me(true);
    assert_eq!((status, &caller["name"], &caller["party"]), (200, &json!("ada@example.com"), &json!("platform")));
    let (status, problem) = me(false);
    assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")));
    assert!(problem["detail"].as_str().unwrap().contains("keys"), "{problem}");
}

#[tokio::test]
async fn a_signed_token_comes_in_as_its_claims_say() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let issuer = Issuer::start(algorithm);
        let (_dir, auth) = issuer.auth();
        let caller = who(&auth, &issuer.key.sign(&issuer.claims(json!({})))).await;
        assert_eq!((caller.principal.name.as_str(), caller.principal.party.as_str()), ("ada@example.com", "platform"));
        assert_eq!((caller.principal.kind, caller.door), (PrincipalKind::Human, Door::Http));
        assert_eq!(caller.roles, [Role::Operator, Role::Approver].into());
        assert!(caller.principal.groups.contains("everybody"));
        assert_eq!(caller.credential, format!("oidc {} user-1", issuer.url));
        // One of several audiences; a clock that is a little ahead; no type.
        let now = jsonwebtoken::get_current_timestamp();
        for claims in [
            json!({"aud": ["other", "wavegate"]}),
            json!({"exp": now - 20}),
            json!({"nbf": now + 20, "iat": now + 20}),
            json!({"iat": null, "nbf": null}),
        ] {
            who(&auth, &issuer.key.sign(&issuer.claims(claims))).await;
        }
        who(&auth, &issuer.key.sign_with(|header| header.typ = None, &issuer.claims(json!({})))).await;
        who(&auth, &issuer.key.sign_with(|header| header.typ = Some("at+JWT".into()), &issuer.claims(json!({})))).await;
        who(&auth, &issuer.key.sign_with(|header| header.kid = None, &issuer.claims(json!({})))).await;
        assert_eq!(issuer.asked(), 1);
    }
}

#[tokio::test]
async fn a_token_with_a_wrong_claim_is_refused() {
    let issuer = Issuer::start(Algorithm::ES256);
    let (_dir, auth) = issuer.auth();
    let now = jsonwebtoken::get_current_timestamp();
    for (changes, expected) in [
        (json!({"aud": "other"}), "for somebody else (`aud`)"),
        (json!({"aud": []}), "for somebody else (`aud`)"),
        (json!({"aud": null}), "for somebody else (`aud`)"),
        (json!({"iss": "http://127.0.0.1:1"}), "issuer that is not known here"),
        (json!({"iss": format!("{}/", issuer.url)}), "issuer that is not known here"),
        (json!({"iss": [issuer.url]}), "issuer that is not known here"),
        (json!({"iss": null}), "issuer that is not known here"),
        (json!({"exp": now - 40}), "has expired (`exp`)"),
        (json!({"exp": null}), "lacks one of"),
        (json!({"exp": "tomorrow"}), "lacks one of"),
        (json!({"nbf": now + 40}), "does not hold yet (`nbf`)"),
        (json!({"nbf": "now"}), "a time in the token is none"),
        (json!({"iat": now + 40}), "issued in the future (`iat`)"),
        (json!({"iat": "now"}), "does not say when it was issued"),
        (json!({"sub": null}), "lacks one of"),
        (json!({"sub": ""}), "`sub` is no subject"),
        (json!({"sub": "a".repeat(256)}), "`sub` is no subject"),
        (json!({"sub": "a\nb"}), "`sub` is no subject"),
        (json!({"email": null}), "lacks the claim `email`"),
        (json!({"email": "a\u{7}b"}), "control characters"),
        (json!({"email": "a".repeat(101)}), "longer than 100"),
        (json!({"email_verified": false}), "not verified"),
        (json!({"groups": ["everybody"]}), "gives a role"),
        (json!({"groups": null}), "gives a role"),
    ] {
        let said = why(&auth, &issuer.key.sign(&issuer.claims(changes.clone()))).await;
        assert!(said.contains(expected), "{changes}: {said}");
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_token_that_its_issuer_did_not_sign_is_refused() {
    let issuer = Issuer::start(Algorithm::RS256);
    let (_dir, auth) = issuer.auth();
    let claims = issuer.claims(json!({}));
    let good = issuer.key.sign(&claims);
    who(&auth, &good).await;
    let parts: Vec<&str> = good.split('.').collect();
    // Another key under the same name; the claims of another token; a signature that is cut; none.
    let stolen = Key::new("key-1", Algorithm::RS256);
    assert!(why(&auth, &stolen.sign(&claims)).await.contains("signature is wrong"));
    let other = BASE64.encode(issuer.claims(json!({"email": "eve@example.com"})).to_string());
    assert!(why(&auth, &format!("{}.{other}.{}", parts[0], parts[2])).await.contains("signature is wrong"));
    assert!(why(&auth, &format!("{}.{}.", parts[0], parts[1])).await.contains("signature is wrong"));
    // `none`, in any case.
    for none in ["none", "None", "NONE"] {
        let header = BASE64.encode(json!({"alg": none, "typ": "JWT", "kid": "key-1"}).to_string());
        for signature in ["", parts[2]] {
            let said = why(&auth, &format!("{header}.{}.{signature}", parts[1])).await;
            assert!(said.contains("is it signed? (`alg`)"), "{said}");
        }
    }
    // The public key, which everybody has, as a shared secret.
    let jwk = issuer.key.jwk();
    let modulus = BASE64.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [issuer.key.public.clone(), modulus, jwk.to_string().into_bytes()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            let header = Header { kid: Some("key-1".into()), ..Header::new(algorithm) };
            let forged = encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
            assert!(why(&auth, &forged).await.contains("signed in a way that is not accepted here"));
        }
    }
    // An algorithm that is good, and not this key's; one that the configuration leaves out.
    let elliptic = Key::new("key-1", Algorithm::ES256);
    assert!(why(&auth, &elliptic.sign(&claims)).await.contains("does not show (`kid`)"));
    let larger = issuer.key.sign_with(|header| header.alg = Algorithm::RS512, &claims);
    assert!(why(&auth, &larger).await.contains("not accepted here"));
    // A key that the token brings along, or names, is nobody's.
    let own = stolen.sign_with(
        |header| {
            header.jwk = serde_json::from_value(stolen.jwk()).ok();
            header.jku = Some(format!("{}/keys", issuer.url));
            header.kid = None;
        },
        &claims,
    );
    assert!(why(&auth, &own).await.contains("signature is wrong"));
    // Tokens for other purposes, and extensions that nobody here knows.
    let logout = issuer.key.sign_with(|header| header.typ = Some("logout+jwt".into()), &claims);
    assert!(why(&auth, &logout).await.contains("(`typ`)"));
    let critical = issuer.key.sign_with(|header| header.crit = Some(vec!["b64".into()]), &claims);
    assert!(why(&auth, &critical).await.contains("(`crit`)"));
}

#[tokio::test]
async fn what_is_no_token_is_refused_without_asking_anybody() {
    let issuer = Issuer::start(Algorithm::ES256);
    let (_dir, auth) = issuer.auth();
    for text in ["..", "a.b.c", "a.b", "a.b.c.d", "\u{e9}.\u{e9}.\u{e9}", "eyJhbGciOiJFUzI1NiJ9.e30.", "bearer"] {
        why(&auth, text).await;
    }
    let long = issuer.key.sign(&issuer.claims(json!({"groups": vec!["sre-oncall"; 1000]})));
    assert!(why(&auth, &long).await.contains("longer than 8192 bytes"));
    assert_eq!(auth.bearer("", Door::Http).await, Err(Unauthenticated::Missing));
    assert_eq!(issuer.asked(), 0);
    // Nobody is named: a signed token is one that nobody has.
    let nobody = Auth::open(&std::env::temp_dir().join("wavegate-none"), &IdentityConfig::default()).unwrap();
    let good = issuer.key.sign(&issuer.claims(json!({})));
    assert_eq!(nobody.bearer(&good, Door::Http).await, Err(Unauthenticated::Unknown));
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once() {
    let issuer = Issuer::start(Algorithm::EdDSA);
    let (_dir, auth) = issuer.auth();
    let made_up = Key::new("made-up", Algorithm::EdDSA);
    let claims = issuer.claims(json!({}));
    for _ in 0..20 {
        assert!(why(&auth, &made_up.sign(&claims)).await.contains("does not show (`kid`)"));
    }
    who(&auth, &issuer.key.sign(&claims)).await;
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_rightly_lets_nobody_in() {
    let keys = |issuer: &Issuer| json!({"keys": [issuer.key.jwk()]});
    let discovery = "/.well-known/openid-configuration";
    let large = |issuer: &Issuer| json!({"keys": [issuer.key.jwk()], "more": "a".repeat(300 << 10)}).to_string();
    type Breaks = Box<dyn Fn(&Issuer)>;
    let cases: Vec<(Breaks, &str)> = vec![
        (Box::new(|issuer| issuer.page("/keys", 500, String::new())), "HTTP 500"),
        // A redirect leads to the right keys, and is not followed.
        (Box::new(move |issuer| issuer.page("/keys", 302, keys(issuer).to_string())), "HTTP 302"),
        (Box::new(move |issuer| issuer.page("/keys", 200, large(issuer))), "larger than 256 KiB"),
        (Box::new(|issuer| issuer.page("/keys", 200, "<html>".into())), "holds no set of keys"),
        (Box::new(move |issuer| issuer.page(discovery, 404, String::new())), "HTTP 404"),
        (Box::new(move |issuer| issuer.page(discovery, 200, "{}".into())), "does not say where the keys are"),
        (
            Box::new(move |issuer| {
                let document = json!({"issuer": "https://eve.example.com", "jwks_uri": format!("{}/keys", issuer.url)});
                issuer.page(discovery, 200, document.to_string());
            }),
            "speaks for another issuer",
        ),
        (
            Box::new(move |issuer| {
                let document = json!({"issuer": issuer.url, "jwks_uri": "http://keys.example.com/keys"});
                issuer.page(discovery, 200, document.to_string());
            }),
            "keys come over https",
        ),
    ];
    for (breaks, expected) in cases {
        let issuer = Issuer::start(Algorithm::ES256);
        breaks(&issuer);
        let (_dir, auth) = issuer.auth();
        let said = why(&auth, &issuer.key.sign(&issuer.claims(json!({})))).await;
        assert!(said.contains("keys of its issuer cannot be had") && said.contains(expected), "{expected}: {said}");
    }
}

/// INVARIANT: S6. Whatever the issuer says: who is an agent is neither let in as an approver nor as less.
#[tokio::test]
async fn an_agent_with_a_persons_role_is_refused() {
    let issuer = Issuer::start(Algorithm::ES256);
    let rest = "roles: {sre-oncall: [operator], agents: [proposer]}";
    let text = format!("oidc: [{{issuer: '{}', audience: wavegate, kind: agent, {rest}}}]", issuer.url);
    let refused = serde_yaml::from_str::<IdentityConfig>(&text).unwrap().check().unwrap_err();
    assert!(refused.starts_with("identity.oidc[0].roles.sre-oncall: an agent cannot be operator"), "{refused}");
    let text = format!("oidc: [{{issuer: '{}', audience: wavegate, claims: {{kind: what}}, {rest}}}]", issuer.url);
    let config: IdentityConfig = serde_yaml::from_str(&text).unwrap();
    let auth = Auth::open(std::path::Path::new("/nonexistent"), &config).unwrap();
    let token = |what: &str, group: &str| issuer.key.sign(&issuer.claims(json!({"what": what, "groups": [group]})));
    assert_eq!(who(&auth, &token("agent", "agents")).await.principal.kind, PrincipalKind::Agent);
    assert_eq!(who(&auth, &token("human", "sre-oncall")).await.roles, [Role::Operator].into());
    assert!(why(&auth, &token("agent", "sre-oncall")).await.contains("an agent cannot be operator"));
    assert!(why(&auth, &token("robot", "agents")).await.contains("not agent, human or service"));
}
