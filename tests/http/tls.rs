//! TLS: our certificate, theirs, and what comes without.

use crate::door::Door;
use crate::support::daemon::{WAVEGATE, run_command};
use crate::support::http::{self, Message};
use crate::support::{CliOutput, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Stream = StreamOwned<ClientConnection, TcpStream>;
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key, in PEM.
fn issued(by: &Authority, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    issued_for(by, name, usage, Duration::from_secs(86_400))
}

fn issued_for(by: &Authority, name: &str, usage: ExtendedKeyUsagePurpose, time: Duration) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + UNIX_EPOCH.elapsed().unwrap() + time;
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

struct Scene {
    door: Door,
    ours: Authority,
    theirs: Authority,
}

fn scene() -> Scene {
    let (ours, theirs) = (authority(), authority());
    let mut door = Door::prepare("");
    let (certificate, key) = issued(&ours, "localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let files = [("server.pem", certificate), ("key.pem", key), ("clients.pem", theirs.pem())];
    let [certificate, key, clients] = files.map(|(name, text)| door.daemon.write(name, &text).display().to_string());
    let config = format!(
        "version: 1\nhttp: {{listen: 127.0.0.1:0, tls: {{certificate: {certificate}, key: {key}, client_ca: {clients}}}}}\n\
         identity: {{certificates: [{{dns: deployer, name: deploy-robot, kind: service, roles: [auditor]}}]}}\n"
    );
    door.daemon.write("wavegate.yaml", &config);
    door.run();
    assert!(door.daemon.ready_line().contains(", http https://127.0.0.1:"), "{}", door.daemon.ready_line());
    Scene { door, ours, theirs }
}

/// Asks who the caller is: the protocol that was agreed on, and the whole answer as text.
fn ask(
    scene: &Scene,
    shows: Option<(String, String)>,
    bearer: Option<&str>,
    alpn: &[&str],
) -> std::io::Result<(Option<String>, String)> {
    get(scene, "/v1/me", shows, bearer, alpn)
}

fn get(
    scene: &Scene,
    path: &str,
    shows: Option<(String, String)>,
    bearer: Option<&str>,
    alpn: &[&str],
) -> std::io::Result<(Option<String>, String)> {
    let mut stream = connect(scene, shows, alpn);
    let bearer = bearer.map(|bearer| format!("authorization: {bearer}\r\n")).unwrap_or_default();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{bearer}\r\n");
    stream.write_all(head.as_bytes())?;
    let agreed = stream.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // HTTP/1.1 in a connection of HTTP/2 is cut; what was agreed on is what counts then.
        Err(error) if answer.is_empty() && agreed.as_deref() != Some("h2") => return Err(error),
        _ => {}
    }
    Ok((agreed, String::from_utf8_lossy(&answer).into_owned()))
}

fn connect(scene: &Scene, shows: Option<(String, String)>, alpn: &[&str]) -> Stream {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(scene.ours.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(scene.door.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    StreamOwned::new(client, stream)
}

/// Asks who the caller is over a connection that stays open: the status, and the body.
fn ask_on(stream: &mut Stream) -> (u16, Value) {
    stream.write_all(b"GET /v1/me HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_slice(&body).unwrap())
}

fn json(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_token_over_tls_and_a_certificate_in_its_place() {
    let scene = scene();
    let bearer = scene.door.bearer.clone();
    let (agreed, answer) = ask(&scene, None, Some(&bearer), &["http/1.1"]).unwrap();
    assert_eq!((agreed.as_deref(), &json(&answer)["name"]), (Some("http/1.1"), &"ana".into()));
    assert!(answer.contains("strict-transport-security: max-age=31536000"), "{answer}");
    // Neither token nor certificate.
    let (_, nothing) = ask(&scene, None, None, &[]).unwrap();
    assert!(nothing.starts_with("HTTP/1.1 401"), "{nothing}");
    // A certificate of the authority comes in; nobody is mapped to it here.
    let shows = || Some(issued(&scene.theirs, "robot", ExtendedKeyUsagePurpose::ClientAuth));
    let (_, unmapped) = ask(&scene, shows(), None, &[]).unwrap();
    assert!(unmapped.starts_with("HTTP/1.1 401"), "{unmapped}");
    assert_ne!(json(&unmapped)["detail"], json(&nothing)["detail"]);
    // With a token beside it, the token counts.
    let (_, both) = ask(&scene, shows(), Some(&bearer), &[]).unwrap();
    assert_eq!(json(&both)["name"], "ana");
}

#[test]
fn a_certificate_of_another_authority_ends_the_handshake() {
    let scene = scene();
    let bearer = scene.door.bearer.clone();
    let stranger = issued(&authority(), "robot", ExtendedKeyUsagePurpose::ClientAuth);
    assert!(ask(&scene, Some(stranger), Some(&bearer), &[]).is_err());
    let a_server = issued(&scene.theirs, "robot", ExtendedKeyUsagePurpose::ServerAuth);
    assert!(ask(&scene, Some(a_server), Some(&bearer), &[]).is_err());
}

#[test]
fn http_2_is_agreed_on_and_plain_text_is_not_answered() {
    let scene = scene();
    let (agreed, _) = ask(&scene, None, None, &["h2", "http/1.1"]).unwrap();
    assert_eq!(agreed.as_deref(), Some("h2"));
    let plain = Message {
        start: "GET /v1/me HTTP/1.1".into(),
        headers: vec![("host".into(), "localhost".into())],
        body: vec![],
    };
    assert!(http::exchange(scene.door.address, &plain).is_err());
}

#[test]
fn a_certificate_that_cannot_be_read_ends_the_start() {
    let mut door = Door::prepare("http: {listen: 127.0.0.1:0, tls: {certificate: none.pem, key: none.pem}}");
    let _lines = door.daemon.spawn();
    assert!(!door.daemon.wait(Duration::from_secs(30)).success());
    assert!(door.daemon.log().contains("none.pem"), "{}", door.daemon.log());
}

/// The command line at the TLS door, with these options, and this token.
fn remote(scene: &Scene, token: Option<&str>, args: &[&str]) -> CliOutput {
    let mut command = Command::new(WAVEGATE);
    for name in ["WAVEGATE_SERVER", "WAVEGATE_STATE_DIR", "WAVEGATE_TOKEN", "WAVEGATE_TOKEN_FILE", "WAVEGATE_CA"] {
        command.env_remove(name);
    }
    command.envs(token.map(|token| ("WAVEGATE_TOKEN", token)));
    command.args(args).args(["--server", &format!("https://localhost:{}", scene.door.address.port())]);
    command.current_dir(scene.door.daemon.home());
    run_command(command)
}

#[test]
fn the_command_line_knows_the_server_and_is_known_by_its_certificate() {
    let scene = scene();
    let (certificate, key) = issued(&scene.theirs, "deployer", ExtendedKeyUsagePurpose::ClientAuth);
    let (other, other_key) = issued(&scene.theirs, "robot", ExtendedKeyUsagePurpose::ClientAuth);
    for (name, text) in [
        ("ca.pem", scene.ours.pem()),
        ("other-ca.pem", authority().pem()),
        ("me.pem", certificate),
        ("me.key", key),
        ("robot.pem", other),
        ("robot.key", other_key),
    ] {
        scene.door.daemon.write(name, &text);
    }
    let token = scene.door.bearer.strip_prefix("Bearer ").unwrap();
    let by_token = remote(&scene, Some(token), &["me", "--json", "--ca", "ca.pem"]).expect_code(0).json();
    assert_eq!(by_token["name"], "ana");
    let shown = ["me", "--json", "--ca", "ca.pem", "--client-cert", "me.pem", "--client-key", "me.key"];
    let by_certificate = remote(&scene, None, &shown).expect_code(0).json();
    assert_eq!((&by_certificate["name"], &by_certificate["kind"]), (&"deploy-robot".into(), &"service".into()));
    assert_eq!(by_certificate["credential"], "certificate deployer");
    // What it may not is refused as at any other door.
    let kill = ["kill", "--ca", "ca.pem", "--client-cert", "me.pem", "--client-key", "me.key"];
    let refused = remote(&scene, None, &kill).expect_code(3);
    assert!(refused.stderr.contains("operator"), "{refused:?}");
    let nobody = ["me", "--ca", "ca.pem", "--client-cert", "robot.pem", "--client-key", "robot.key"];
    assert!(remote(&scene, None, &nobody).expect_code(3).stderr.contains("no identity is mapped"));
    // A server of an authority that nobody named is not told the token.
    for ca in [&["--ca", "other-ca.pem"][..], &[]] {
        let output = remote(&scene, Some(token), &[&["me"], ca].concat()).expect_code(7);
        assert!(output.stderr.contains("certificate"), "{output:?}");
    }
    for (wrong, said) in [("none.pem", "none.pem"), ("me.key", "me.key")] {
        let output = remote(&scene, Some(token), &["me", "--ca", wrong]).expect_code(2);
        assert!(output.stderr.contains(said), "{output:?}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let mut scene = scene();
    let bearer = scene.door.bearer.clone();
    let next = authority();
    let (certificate, key) = issued(&next, "localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let said = |scene: &Scene, words: &str| {
        wait_for(words, Duration::from_secs(20), || scene.door.daemon.log().contains(words).then_some(()));
    };
    // The certificate comes before its key: the door stays as it is.
    scene.door.daemon.write("server.pem", &certificate);
    said(&scene, "cannot be used: the last ones stay");
    ask(&scene, None, Some(&bearer), &[]).unwrap();
    scene.door.daemon.write("key.pem", &key);
    said(&scene, "the certificates were read again");
    assert!(ask(&scene, None, Some(&bearer), &[]).is_err());
    scene.ours = next;
    let (_, answer) = ask(&scene, None, Some(&bearer), &[]).unwrap();
    assert_eq!(json(&answer)["name"], "ana");
}

/// A connection outlives the certificate that opened it; nobody comes in by that, and no stream goes on.
#[test]
fn a_certificate_that_expires_ends_with_its_time_on_open_connections_too() {
    let scene = scene();
    let shows = issued_for(&scene.theirs, "deployer", ExtendedKeyUsagePurpose::ClientAuth, Duration::from_secs(25));
    let mut kept = connect(&scene, Some(shows.clone()), &[]);
    let (status, who) = ask_on(&mut kept);
    assert_eq!((status, &who["name"]), (200, &"deploy-robot".into()));
    let mut stream = connect(&scene, Some(shows), &[]);
    stream.write_all(b"GET /v1/events?after=0 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let refused = wait_for("the certificate counts no more", Duration::from_secs(60), || {
        std::thread::sleep(Duration::from_millis(500));
        Some(ask_on(&mut kept)).filter(|(status, _)| *status != 200)
    });
    assert_eq!((refused.0, &refused.1["code"]), (401, &"unauthenticated".into()));
    assert!(refused.1["detail"].as_str().unwrap().contains("expired"), "{}", refused.1);
    let mut seen = String::new();
    stream.read_to_string(&mut seen).unwrap();
    assert!(seen.starts_with("HTTP/1.1 200") && seen.ends_with("\r\n0\r\n\r\n"), "{seen}");
}

#[test]
fn an_authority_that_is_replaced_lets_nobody_in_on_open_connections_either() {
    let scene = scene();
    let shows = issued(&scene.theirs, "deployer", ExtendedKeyUsagePurpose::ClientAuth);
    let mut kept = connect(&scene, Some(shows), &[]);
    assert_eq!(ask_on(&mut kept).0, 200);
    let next = authority();
    scene.door.daemon.write("clients.pem", &next.pem());
    let (status, refused) = wait_for("the last authority counts no more", Duration::from_secs(30), || {
        std::thread::sleep(Duration::from_millis(500));
        Some(ask_on(&mut kept)).filter(|(status, _)| *status != 200)
    });
    assert_eq!((status, &refused["code"]), (401, &"unauthenticated".into()), "{refused}");
    let renewed = issued(&next, "deployer", ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(ask_on(&mut connect(&scene, Some(renewed), &[])).0, 200);
}

/// The daemon comes in by its own door as a stranger would, whatever authority and name its certificate has. Whoever is paged by the
/// number of stop orders sleeps on.
#[test]
fn a_drill_goes_through_the_tls_door() {
    let scene = scene();
    let bearer = scene.door.bearer.clone();
    let drill = std::thread::scope(|scope| {
        let drill = scope.spawn(|| scene.door.daemon.cli(&["drill", "--json"]));
        while !drill.is_finished() {
            let (_, metrics) = get(&scene, "/metrics", None, Some(&bearer), &[]).unwrap();
            let numbers: Vec<_> = metrics.lines().filter(|line| line.starts_with("wavegate_kills_")).collect();
            assert!(numbers.len() == 4 && numbers.iter().all(|line| line.ends_with(" 0")), "{numbers:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
        drill.join().unwrap()
    });
    assert_eq!(drill.code, 0, "{drill:?}");
    let drill = drill.json();
    let checks = drill["checks"].as_array().unwrap();
    // Three modes at each of four doors, and the signal, which has two.
    assert_eq!((checks.len(), &drill["not_drilled"]), (14, &Value::Null), "{drill}");
    for door in ["http", "mcp"] {
        assert_eq!(checks.iter().filter(|check| check["door"] == door && check["passed"] == true).count(), 3, "{door}");
    }
}
