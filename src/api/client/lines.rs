//! Lines out of a stream of bytes: whole ones as they come, and never an endless one.

/// The longest line. One event has some hundred bytes, and its words are bounded; what is longer is none.
const LINE_MAX: usize = 4 << 20;

/// A line is longer than any that a daemon sends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line longer than {LINE_MAX} bytes")]
pub(in crate::api) struct TooLong;

/// What has come and is not a whole line yet.
#[derive(Debug, Default)]
pub(in crate::api) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that are whole with these bytes, without their ends (`\n`, `\r\n`).
    ///
    /// # Errors
    /// [`TooLong`].
    pub(in crate::api) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut lines = Vec::new();
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            self.rest.extend_from_slice(part);
            if self.rest.len() > LINE_MAX {
                return Err(TooLong);
            }
            if parts.peek().is_some() {
                let line = String::from_utf8_lossy(&self.rest);
                lines.push(line.strip_suffix('\r').unwrap_or(&line).to_owned());
                self.rest.clear();
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_come() {
        let text = "one\r\n\ntwo ünd\nthree";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for part in text.as_bytes().chunks(size) {
                found.extend(lines.push(part).unwrap());
            }
            assert_eq!(found, ["one", "", "two ünd"], "{size}");
            assert_eq!(lines.push(b"\n").unwrap(), ["three"]);
        }
    }

    #[test]
    fn an_endless_line_is_cut_off() {
        let mut lines = Lines::default();
        let part = vec![b'x'; 1 << 20];
        let over = (0..8).find_map(|_| lines.push(&part).err());
        assert_eq!(over, Some(TooLong));
    }
}
