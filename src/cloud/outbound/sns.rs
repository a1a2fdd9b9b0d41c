//! A topic of SNS, with the credentials that the daemon has anyway. The topic's policy says who may publish.

use super::{ATTEMPT, Deliver, Parcel, Undelivered};
use crate::cloud::aws::http_client;
use crate::cloud::classify::clean;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_sns::Client;
use aws_sdk_sns::error::{ProvideErrorMetadata as _, SdkError};
use tokio::sync::OnceCell;

/// SNS takes subjects of fewer than 100 characters, ASCII and without line breaks (API reference, `Publish.Subject`).
const SUBJECT_MAX: usize = 99;

/// Errors that pass, though their status is 4xx. Source: SNS API reference, "Common errors" and "Publish".
const PASSING: [&str; 10] = [
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "KMSThrottling",
    "KMSThrottlingException",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
];

/// A topic.
#[derive(Debug)]
pub struct Sns {
    topic: String,
    region: String,
    client: OnceCell<Client>,
}

impl Sns {
    /// To this topic, asked in this region. Sends nothing.
    pub fn new(topic: String, region: String) -> Self {
        Self { topic, region, client: OnceCell::new() }
    }

    async fn connect(&self) -> Client {
        let timeouts = TimeoutConfig::builder().operation_timeout(ATTEMPT).build();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .http_client(http_client())
            // Whoever keeps the messages tries again.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .load();
        Client::new(&Box::pin(config).await)
    }
}

impl Deliver for Sns {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), Undelivered> {
        let client = self.client.get_or_init(|| Box::pin(self.connect())).await;
        let mut publish = client
            .publish()
            .topic_arn(&self.topic)
            .subject(subject(parcel.subject))
            .message_structure("json")
            .message(parcel.body);
        if self.topic.ends_with(".fifo") {
            // Such a topic keeps order within a group, and drops what it has had within five minutes.
            publish = publish.message_group_id(parcel.group).message_deduplication_id(parcel.id);
        }
        match Box::pin(publish.send()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(judge(&error)),
        }
    }
}

fn judge<E>(error: &SdkError<E>) -> Undelivered
where
    E: aws_sdk_sns::error::ProvideErrorMetadata,
{
    let SdkError::ServiceError(service) = error else {
        return Undelivered::again("SNS did not answer, or no credentials were found");
    };
    judge_answer(service.raw().status().as_u16(), error.code().unwrap_or_default())
}

/// As with other receivers: only what is wrong with the message itself is given up. A missing right, a topic that is not there and a key
/// that cannot be used (which SNS answers with 400) are mended by people.
fn judge_answer(status: u16, code: &str) -> Undelivered {
    let why = format!("SNS answered {status} {}", clean(code));
    match status {
        _ if PASSING.contains(&code) => Undelivered::again(why),
        400 if code.starts_with("KMS") => Undelivered::Refused { why },
        400 | 410 | 413 | 422 => Undelivered::Never { why },
        401..=499 if !matches!(status, 408 | 425 | 429) => Undelivered::Refused { why },
        _ => Undelivered::again(why),
    }
}

fn subject(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.trim_start().chars().map(shown).take(SUBJECT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{Undelivered, judge_answer, subject};

    #[test]
    fn a_subject_is_short_plain_and_one_line() {
        assert_eq!(subject("held: über\nline"), "held: ?ber?line");
        assert_eq!(subject(&"x".repeat(500)).len(), 99);
    }

    #[test]
    fn only_what_is_wrong_with_the_message_is_given_up() {
        for (status, code) in [(403, "AuthorizationError"), (403, "SignatureDoesNotMatch"), (404, "NotFound")] {
            assert!(judge_answer(status, code).is_refusal(), "{code}");
        }
        assert!(judge_answer(400, "KMSDisabled").is_refusal());
        for (status, code) in [(400, "Throttling"), (403, "ExpiredToken"), (429, "x"), (500, "InternalError")] {
            assert!(matches!(judge_answer(status, code), Undelivered::Again { .. }), "{code}");
        }
        assert!(matches!(judge_answer(400, "InvalidParameter"), Undelivered::Never { .. }));
    }
}
