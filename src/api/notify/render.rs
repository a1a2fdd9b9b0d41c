//! A message in the form that each way wants: JSON for a webhook, blocks for Slack, several texts for SNS.

use super::message::{Message, one_line};
use crate::config::notify::ChannelConfig;
use crate::model::notice::Severity;
use serde_json::{Value, json};

/// A header of Slack has at most 150 characters (Block Kit reference, "header block").
const HEADER: usize = 150;
/// A text of Slack has at most 3,000 (Block Kit reference, "text object"); what is added to it has room, too.
const TEXT: usize = 2_900;
/// One short message (SNS developer guide, "Publishing SMS messages": 140 bytes).
const SMS: usize = 130;

/// The body for this channel. `stored` is the message as the outbox keeps it.
pub fn body(channel: &ChannelConfig, stored: &str, message: &Message, id: &str) -> String {
    if channel.slack.is_some() {
        return slack(message, id).to_string();
    }
    if channel.sns.is_some() {
        // Each kind of subscriber takes the text that is made for it, and programs the same as by webhook.
        let sms: String = subject(message).chars().filter(char::is_ascii).take(SMS).collect();
        return json!({"default": stored, "email": text(message, id), "sms": sms}).to_string();
    }
    stored.to_owned()
}

/// One line that says what it is.
pub fn subject(message: &Message) -> String {
    let data = &message.data;
    let source = data.source.as_ref().map(|source| format!("[{source}] ")).unwrap_or_default();
    format!("{source}{}", data.headline)
}

/// The whole of it for people.
fn text(message: &Message, id: &str) -> String {
    let mut lines = vec![format!("{} ({})", subject(message), message.data.severity)];
    lines.extend(parts(message).into_iter().map(|(name, text)| format!("{name}: {text}")));
    lines.push(format!("at: {}, {id}", message.timestamp));
    lines.join("\n")
}

fn parts(message: &Message) -> Vec<(&'static str, String)> {
    let data = &message.data;
    let mut parts = vec![("why", data.why.clone()), ("next", data.next.clone())];
    if let Some(change) = &data.change {
        parts.push(("change", format!("“{}” by {}, pipeline {}", change.title, change.agent, change.pipeline)));
    }
    if let Some(approval) = &data.approval {
        parts.push(("wanting", approval.wanting.clone()));
        parts.push(("can release it", approval.can_release.join(", ")));
        parts.extend(approval.key_figure.iter().map(|figure| ("to be repeated", figure.clone())));
    }
    parts.retain(|(_, text)| !text.is_empty());
    parts
}

/// `text` is for notifications, `blocks` for the room. Every text is plain, so that Slack makes no link, mention or format of what an
/// agent wrote; `& < >` are escaped all the same.
fn slack(message: &Message, id: &str) -> Value {
    let mark = match message.data.severity {
        Severity::Critical => "🔴",
        Severity::Warning => "🟠",
        Severity::Info => "⚪",
    };
    let head = format!("{mark} {}", subject(message));
    let mut blocks = vec![json!({"type": "header", "text": plain(&head, HEADER)})];
    blocks.extend(
        parts(message)
            .iter()
            .map(|(name, text)| json!({"type": "section", "text": plain(&format!("{name}: {text}"), TEXT)})),
    );
    let tail = format!("{} {}", message.timestamp, id);
    blocks.push(json!({"type": "context", "elements": [plain(&tail, TEXT)]}));
    json!({
        "text": escape(&format!("{head}: {}", message.data.why), TEXT),
        "mrkdwn": false,
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

fn plain(text: &str, most: usize) -> Value {
    json!({"type": "plain_text", "emoji": false, "text": escape(text, most)})
}

/// Escaped as Slack asks ("Formatting text for app surfaces", "Escaping text"), and cut so that what is escaped stays whole.
fn escape(text: &str, most: usize) -> String {
    let (mut escaped, mut length) = (String::with_capacity(text.len().min(most)), 0);
    for c in one_line(text, most).chars() {
        let piece = match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            c => c.to_string(),
        };
        length += piece.chars().count();
        // Room for the mark that something is missing.
        if length >= most {
            escaped.push('…');
            break;
        }
        escaped.push_str(&piece);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::notify::message;
    use crate::model::notice::NoticeKind;
    use jiff::Timestamp;

    fn held(why: &str) -> Message {
        message::plain(NoticeKind::Held, "held: r-1", why, "look and see", Timestamp::UNIX_EPOCH)
    }

    fn texts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(map) => map.values().for_each(|item| texts(item, found)),
            _ => {}
        }
    }

    #[test]
    fn slack_is_given_no_mention_no_link_and_no_more_than_it_takes() {
        let evil = "<!channel> <https://evil.example|click> a & b \u{202e}txt\nnew line";
        let body = slack(&held(evil), "msg_1");
        let text = body["text"].as_str().unwrap();
        assert!(text.contains("&lt;!channel&gt; &lt;https://evil.example|click&gt; a &amp; b"), "{text}");
        assert!(!text.contains(['<', '>', '\n', '\u{202e}']), "{text}");
        let body = slack(&held(&"<".repeat(100_000)), "msg_1");
        let mut found = Vec::new();
        texts(&body, &mut found);
        assert!(found.iter().all(|text| text.chars().count() <= 3000));
        for block in body["blocks"].as_array().unwrap() {
            let header = block["type"] == "header";
            let text = block["text"]["text"].as_str().unwrap_or_default();
            assert!(!header || text.chars().count() <= HEADER);
            assert!(!text.contains('<') && (text.matches('&').count() == text.matches("&lt;").count()), "{text}");
        }
        assert!(!body["blocks"].to_string().contains("mrkdwn"));
    }

    #[test]
    fn sns_gets_a_text_for_each_kind_of_subscriber() {
        let channel: ChannelConfig =
            serde_yaml::from_str("{name: t, sns: {topic_arn: 'arn:aws:sns:eu-west-1:1:t'}}").unwrap();
        let message = held("nobody knows");
        let stored = serde_json::to_string(&message).unwrap();
        let body: Value = serde_json::from_str(&body(&channel, &stored, &message, "msg_1")).unwrap();
        assert_eq!(body["default"], Value::String(stored));
        assert!(body["email"].as_str().unwrap().contains("why: nobody knows"));
        assert_eq!(body["sms"], "held: r-1");
    }
}
