//! The forms that the query protocol sends and the XML that it answers with, read by hand: enough for tests, no more.

use std::collections::BTreeMap;

/// Encodes a form's fields.
pub fn encode_form(fields: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value))).collect();
    pairs.join("&")
}

fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Decodes a form's fields.
pub fn decode_form(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            (percent_decode(&pair[..at]), percent_decode(pair.get(at + 1..).unwrap_or_default()))
        })
        .collect()
}

fn percent_decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(|digit| char::from(*digit)).collect();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            other => *other,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The content of the first `<tag>`, as it stands (entities and inner elements included).
pub fn element<'a>(xml: &'a str, tag: &str) -> Option<&'a str> {
    let open = format!("<{tag}>");
    let start = xml.find(&open)? + open.len();
    let inner = &xml[start..];
    Some(&inner[..matching_end(inner, tag)?])
}

/// Where the element that has just been opened ends: elements of the same name may lie inside it.
fn matching_end(inner: &str, tag: &str) -> Option<usize> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut depth = 0;
    let mut at = 0;
    loop {
        let next_close = at + inner[at..].find(&close)?;
        match inner[at..next_close].find(&open) {
            Some(offset) => {
                depth += 1;
                at += offset + open.len();
            }
            None if depth == 0 => return Some(next_close),
            None => {
                depth -= 1;
                at = next_close + close.len();
            }
        }
    }
}

/// The text of the first `<tag>`, entities resolved.
pub fn value(xml: &str, tag: &str) -> Option<String> {
    element(xml, tag).map(unescape)
}

/// The `<member>`s of the first `<tag>`.
pub fn members<'a>(xml: &'a str, tag: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut rest = element(xml, tag).unwrap_or("");
    while let Some(start) = rest.find("<member>") {
        let inner = &rest[start + "<member>".len()..];
        let Some(end) = matching_end(inner, "member") else { break };
        found.push(&inner[..end]);
        rest = &inner[end + "</member>".len()..];
    }
    found
}

/// The members of a list of names and values as a map.
pub fn pairs(xml: &str, tag: &str, name: &str, of: &str) -> BTreeMap<String, String> {
    let read = |member: &&str| Some((value(member, name)?, value(member, of).unwrap_or_default()));
    members(xml, tag).iter().filter_map(read).collect()
}

pub fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&#13;", "\r")
        .replace("&#xD;", "\r")
        .replace("&amp;", "&")
}

/// The service, region and access key of an `Authorization` header's credential scope.
pub fn credential(authorization: &str) -> Option<(String, String, String)> {
    let scope = authorization.split_once("Credential=")?.1.split(',').next()?;
    let mut parts = scope.trim().split('/');
    let key = parts.next()?.to_owned();
    let region = parts.nth(1)?.to_owned();
    Some((parts.next()?.to_owned(), region, key))
}
