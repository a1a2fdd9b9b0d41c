//! Webhooks, signed as Standard Webhooks says: the receiver can tell that a message is ours, that nobody changed it, and that it is no old
//! one. Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use super::http::{Http, send};
use super::{Deliver, Parcel, Undelivered, read_secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use sha2::Sha256;
use std::fmt;
use std::path::PathBuf;

/// The specification's own limits of a symmetric secret, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A receiver of signed webhooks.
#[derive(Debug)]
pub struct Webhook {
    url: String,
    secrets: Vec<PathBuf>,
    http: Http,
}

impl Webhook {
    /// To this address; one signature by each of the files.
    pub fn new(url: String, secrets: Vec<PathBuf>) -> Self {
        Self { url, secrets, http: Http::default() }
    }
}

impl Deliver for Webhook {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), Undelivered> {
        let mut signatures = Vec::new();
        for file in &self.secrets {
            let secret = Secret::parse(&read_secret(file)?)
                .map_err(|why| Undelivered::again(format!("the file `{}` {why}", file.display())))?;
            signatures.push(secret.sign(parcel.id, parcel.at, parcel.body));
        }
        let mut signature = HeaderValue::try_from(signatures.join(" "))
            .map_err(|_| Undelivered::again("no header can be made of its signatures"))?;
        signature.set_sensitive(true);
        let request = self
            .http
            .post(&self.url)?
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", parcel.id)
            .header("webhook-timestamp", parcel.at)
            .header("webhook-signature", signature)
            .body(parcel.body.to_owned());
        send(request).await
    }
}

/// A key that is shared with the receiver.
struct Secret(Vec<u8>);

impl Secret {
    /// Reads `whsec_<base64>`. The words are for behind a file's name.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let encoded = text.strip_prefix("whsec_").ok_or("holds no secret that begins with `whsec_`")?;
        let bytes = STANDARD.decode(encoded).map_err(|_| "holds a secret that is no base64 after `whsec_`")?;
        match SECRET_BYTES.contains(&bytes.len()) {
            true => Ok(Self(bytes)),
            false => Err("holds a secret of a wrong length; 24 to 64 bytes are right, before base64"),
        }
    }

    fn sign(&self, id: &str, at: i64, body: &str) -> String {
        // HMAC takes keys of any length; this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// INVARIANT: S20.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The vector of the specification's own libraries.
    #[test]
    fn the_published_vector_holds() {
        let secret = Secret::parse(PUBLISHED).unwrap();
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_part_is_signed() {
        let secret = Secret::parse(PUBLISHED).unwrap();
        let signed = secret.sign("a", 1, "b");
        for other in [secret.sign("x", 1, "b"), secret.sign("a", 2, "b"), secret.sign("a", 1, "x")] {
            assert_ne!(signed, other);
        }
        assert!(!format!("{secret:?}").contains("Mf"));
    }

    #[test]
    fn what_is_no_secret_is_said_without_repeating_it() {
        for text in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_???", "whsec_c2hvcnQ=", "whsec_"] {
            let why = Secret::parse(text).unwrap_err();
            assert!(!why.contains("c2hvcnQ") && !why.contains("MfKQ"), "{why}");
        }
    }
}
