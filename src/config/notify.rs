//! Who is told what, and how. Secrets stand in files of their own, never here: this file may be shown to anybody.

use crate::model::notice::{NoticeKind, Severity};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// More channels than this are a mistake: each has a task and its own rows in the outbox.
const CHANNELS_MAX: usize = 16;
/// A receiver rotates one secret at a time; the specification's own libraries take a handful.
const SECRETS_MAX: usize = 4;
/// Names stand in tables and metrics.
const NAME_MAX: usize = 40;

const NAME_RULE: &str = "write up to 40 letters, digits, `-`, `_` or `.`";

/// Who is told what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyConfig {
    /// What this daemon is called in messages, where several tell the same people.
    pub source: Option<String>,
    /// Ways to people. None: nobody is told.
    #[serde(default)]
    pub channels: Vec<ChannelConfig>,
}

/// One way to people: exactly one of `webhook`, `slack` and `sns`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// As it stands in `status`, logs and metrics. Another name is another channel.
    pub name: String,
    /// A webhook, signed as Standard Webhooks.
    pub webhook: Option<WebhookConfig>,
    /// An incoming webhook of Slack, or of what understands the same.
    pub slack: Option<SlackConfig>,
    /// A topic of SNS.
    pub sns: Option<SnsConfig>,
    /// Only these kinds; none: all but those that went as they should.
    pub only: Option<BTreeSet<NoticeKind>>,
    /// Nothing that matters less.
    #[serde(default)]
    pub min_severity: Severity,
}

/// A webhook.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where to: `https://…`, or `http://` to this machine.
    pub url: String,
    /// The file with its secret, `whsec_…`.
    pub secret_file: Option<PathBuf>,
    /// While secrets are rotated: one signature for each.
    #[serde(default)]
    pub secret_files: Vec<PathBuf>,
}

impl WebhookConfig {
    /// All files with secrets, in order.
    pub fn secrets(&self) -> Vec<PathBuf> {
        self.secret_file.iter().chain(&self.secret_files).cloned().collect()
    }
}

/// Slack. Its address is its secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackConfig {
    /// The file with the address.
    pub url_file: PathBuf,
}

/// SNS, with the credentials that the daemon has anyway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnsConfig {
    /// `arn:aws:sns:REGION:ACCOUNT:NAME`
    pub topic_arn: String,
    /// None: the topic's own.
    pub region: Option<String>,
}

impl SnsConfig {
    /// Where the topic is asked.
    pub fn region(&self) -> String {
        let of_topic = self.topic_arn.split(':').nth(3).unwrap_or_default();
        self.region.clone().unwrap_or_else(|| of_topic.to_owned())
    }
}

impl NotifyConfig {
    /// What a reader of the shape alone cannot see.
    ///
    /// # Errors
    /// What is wrong, beginning with its place in the file.
    pub fn check(&self) -> Result<(), String> {
        if self.source.as_ref().is_some_and(|source| !is_name(source)) {
            return Err(format!("notify.source: {NAME_RULE}"));
        }
        if self.channels.len() > CHANNELS_MAX {
            let have = self.channels.len();
            return Err(format!("notify.channels: there are {have}, and {CHANNELS_MAX} are the most"));
        }
        let mut names = BTreeSet::new();
        for (n, channel) in self.channels.iter().enumerate() {
            channel.check().map_err(|why| format!("notify.channels[{n}].{why}"))?;
            if !names.insert(channel.name.as_str()) {
                return Err(format!("notify.channels[{n}].name: `{}` is taken; give it another name", channel.name));
            }
        }
        Ok(())
    }
}

impl ChannelConfig {
    /// True when this channel wants to hear of it.
    pub fn wants(&self, kind: NoticeKind) -> bool {
        let asked = self.only.as_ref().map_or(kind.is_usual(), |only| only.contains(&kind));
        asked && kind.severity() >= self.min_severity
    }

    fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err(format!("name: {NAME_RULE}"));
        }
        let ways = [self.webhook.is_some(), self.slack.is_some(), self.sns.is_some()];
        if ways.iter().filter(|given| **given).count() != 1 {
            return Err(format!("name: `{}` needs exactly one of `webhook`, `slack` and `sns`", self.name));
        }
        if self.only.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err("only: it names no kind, so nothing would ever be told; leave it out, or name some".into());
        }
        if let Some(only) = &self.only
            && !only.iter().any(|kind| self.wants(*kind))
        {
            return Err(format!("only: no kind in it is at least `{}`, which `min_severity` asks", self.min_severity));
        }
        self.webhook.as_ref().map_or(Ok(()), WebhookConfig::check)?;
        self.slack.as_ref().map_or(Ok(()), SlackConfig::check)?;
        self.sns.as_ref().map_or(Ok(()), SnsConfig::check)
    }
}

impl WebhookConfig {
    fn check(&self) -> Result<(), String> {
        // The address is not repeated: somebody may have put a secret into it.
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return Err("webhook.url: write an address, as `https://hooks.example.com/wavegate`".into());
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("webhook.url: it holds credentials; a webhook proves itself by its signature".into());
        }
        if self.url.chars().any(|c| c.is_whitespace() || c.is_control()) || authority.is_empty() {
            return Err("webhook.url: it is no address".into());
        }
        match scheme {
            "https" => {}
            "http" if is_loopback(authority) => {}
            _ => return Err("webhook.url: use `https://`; `http://` is for this machine alone (127.0.0.1)".into()),
        }
        let secrets = self.secrets();
        match secrets.len() {
            0 => Err("webhook.secret_file: name the file with the secret (`whsec_…`); nothing is sent unsigned".into()),
            1..=SECRETS_MAX => secrets.iter().try_for_each(|file| absolute("webhook.secret_file", file)),
            have => Err(format!("webhook.secret_files: there are {have}, and {SECRETS_MAX} are the most")),
        }
    }
}

impl SlackConfig {
    fn check(&self) -> Result<(), String> {
        absolute("slack.url_file", &self.url_file)
    }
}

impl SnsConfig {
    fn check(&self) -> Result<(), String> {
        let parts: Vec<&str> = self.topic_arn.split(':').collect();
        match parts.as_slice() {
            ["arn", _, "sns", region, account, name]
                if !region.is_empty() && !account.is_empty() && !name.is_empty() =>
            {
                Ok(())
            }
            _ => Err("sns.topic_arn: write the topic's ARN, as `arn:aws:sns:eu-west-1:111111111111:wavegate`".into()),
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(allowed)
}

/// A daemon's working directory is not what whoever writes the file has in mind.
fn absolute(place: &str, file: &std::path::Path) -> Result<(), String> {
    match file.is_absolute() {
        true => Ok(()),
        false => Err(format!("{place}: write the whole path, beginning with `/`")),
    }
}

/// True for the authority of an address that leads to this machine.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::config::file::parse;

    fn check(channels: &str) -> Result<(), String> {
        parse("x.yaml", &format!("version: 1\nnotify:\n  channels:\n{channels}")).map(drop).map_err(|e| e.to_string())
    }

    #[test]
    fn sound_channels_are_taken() {
        let text =
            "    - {name: pager, webhook: {url: 'https://h.example/x', secret_file: /etc/s}, min_severity: critical}
    - {name: room, slack: {url_file: /etc/u}, only: [held, stuck]}
    - {name: topic, sns: {topic_arn: 'arn:aws:sns:eu-west-1:1:t'}}
    - {name: here, webhook: {url: 'http://[::1]:80/x', secret_files: [/a, /b]}}\n";
        assert_eq!(check(text), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let cases = [
            ("{name: a}", "notify.channels[0].name: `a` needs exactly one"),
            ("{name: 'a b', slack: {url_file: /u}}", "notify.channels[0].name"),
            ("{name: a, slack: {url_file: u}}", "notify.channels[0].slack.url_file: write the whole path"),
            ("{name: a, slack: {url: 'https://x'}}", "unknown field `url`"),
            ("{name: a, webhook: {url: 'http://h.example/', secret_file: /s}}", "use `https://`"),
            ("{name: a, webhook: {url: 'http://127.0.0.1.evil.example/', secret_file: /s}}", "use `https://`"),
            ("{name: a, webhook: {url: 'https://me:hunter2@h/', secret_file: /s}}", "it holds credentials"),
            ("{name: a, webhook: {url: 'https://h/'}}", "nothing is sent unsigned"),
            ("{name: a, sns: {topic_arn: 'arn:aws:sqs:r:1:n'}}", "notify.channels[0].sns.topic_arn"),
            ("{name: a, slack: {url_file: /u}, only: []}", "it names no kind"),
            ("{name: a, slack: {url_file: /u}, only: [succeeded], min_severity: critical}", "no kind in it"),
            ("{name: a, slack: {url_file: /u}, only: [nonsense]}", "unknown variant `nonsense`"),
        ];
        for (channel, expected) in cases {
            let error = check(&format!("    - {channel}\n")).unwrap_err();
            assert!(error.contains(expected), "{channel}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let twice = "    - {name: a, slack: {url_file: /u}}\n".repeat(2);
        assert!(check(&twice).unwrap_err().contains("channels[1].name: `a` is taken"));
    }
}
