//! Server-Sent Events (WHATWG HTML, "Server-sent events"), as far as a daemon sends them: comments keep the line open, and each event's
//! data is one entry of the record.

use super::lines::Lines;
use crate::api::listing::AuditEntry;

/// Events out of a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Events {
    lines: Lines,
    name: String,
    data: Vec<String>,
}

impl Events {
    /// The entries that are whole with these bytes.
    ///
    /// # Errors
    /// Words: what came is no event of a daemon.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<AuditEntry>, String> {
        let mut entries = Vec::new();
        for line in self.lines.push(bytes).map_err(|error| error.to_string())? {
            if line.is_empty() {
                entries.extend(self.dispatch()?);
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.name),
                "data" => self.data.push(value.to_owned()),
                // The position is in the entry, and the pause before coming back is ours. An empty field is a comment.
                _ => {}
            }
        }
        Ok(entries)
    }

    fn dispatch(&mut self) -> Result<Option<AuditEntry>, String> {
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        if data.is_empty() {
            return Ok(None);
        }
        if name == "error" {
            return Err("the daemon could not go on with the events".into());
        }
        let entry = serde_json::from_str(&data.join("\n"));
        entry.map(Some).map_err(|error| format!("an event that this release does not know: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> String {
        format!(
            r#"{{"seq":{seq},"at":"2026-01-01T00:00:00Z","epoch":1,"event":"wave_started","rollout":"r-1","target":null,"detail":"x"}}"#
        )
    }

    #[test]
    fn events_are_read_however_they_come() {
        let text = format!(
            ": hello\nretry: 1000\n\nid: 4\nevent: wave_started\ndata: {}\n\n:\n\nid: 5\r\ndata:{}\r\n\r\nevent: x\n\n",
            entry(4),
            entry(5)
        );
        for size in [1, 2, 7, 100, text.len()] {
            let mut events = Events::default();
            let mut found = Vec::new();
            for part in text.as_bytes().chunks(size) {
                found.extend(events.push(part).unwrap());
            }
            assert_eq!(found.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5], "{size}");
        }
    }

    #[test]
    fn what_is_no_event_is_not_passed_over() {
        assert!(Events::default().push(b"data: {}\n\n").is_err());
        assert!(Events::default().push(b"event: error\ndata: {}\n\n").is_err());
    }
}
