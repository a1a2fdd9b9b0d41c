//! One request to the daemon's own HTTP door, as a kill drill sends it: short, bounded, never redirected, never repeated.

use super::web;
use crate::cloud::classify::clean;
use reqwest::ClientBuilder;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// A kill is acknowledged within two seconds, or its answer says that it is pending.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More of an answer is not kept.
const ANSWER_MAX: usize = 64 << 10;
/// More of an answer is not shown.
const SHOWN: usize = 200;

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    body: String,
}

impl Answer {
    /// The body as JSON: itself, or the first `data:` of an event stream.
    pub fn json(&self) -> Option<Value> {
        let event = || self.body.lines().find_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok());
        serde_json::from_str(&self.body).ok().or_else(event)
    }

    /// What is wrong with it, in short.
    pub fn complaint(&self) -> String {
        format!("answered {}: {}", self.status, clean(&self.body).chars().take(SHOWN).collect::<String>())
    }
}

/// Sends a JSON body with a bearer token. Over TLS it goes to whoever has the key of the certificate `ours`, and to nobody else: that is
/// the daemon itself, under whatever name and authority it is known outside.
///
/// # Errors
/// Words for people: nobody answered. They hold neither the token nor the address.
pub async fn post(
    url: &str,
    ours: Option<&CertificateDer<'static>>,
    token: &str,
    accept: &str,
    body: &Value,
) -> Result<Answer, String> {
    let said = |error: reqwest::Error| format!("no answer: {}", error.without_url());
    // The listener is on this machine.
    let builder = web::client(TIMEOUT).no_proxy();
    let client = trusting(builder, ours)?.build().map_err(said)?;
    let request = client.post(url).bearer_auth(token).header(ACCEPT, accept).header(CONTENT_TYPE, "application/json");
    let mut response = request.body(body.to_string()).send().await.map_err(said)?;
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(said)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_MAX {
            break;
        }
    }
    Ok(Answer { status, body: String::from_utf8_lossy(&bytes).into_owned() })
}

fn trusting(builder: ClientBuilder, ours: Option<&CertificateDer<'static>>) -> Result<ClientBuilder, String> {
    // Plain text needs no trusted roots, and works where there are none.
    let Some(ours) = ours else { return Ok(builder.tls_certs_only([])) };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Ours { certificate: ours.clone(), provider }))
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(config))
}

/// Trusts one certificate, byte for byte, from whoever proves to have its key.
#[derive(Debug)]
struct Ours {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Ours {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *shown == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
