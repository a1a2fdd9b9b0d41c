//! Properties of text that goes to people.

/// INVARIANT: S21. What is shown holds nothing that a terminal would obey.
pub fn assert_shows_all(what: &str, text: &str) {
    let hidden = text.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t');
    assert_eq!(hidden, None, "{what} holds a control character: {text:?}");
}

/// INVARIANT: S20. No access key and no session token, as CloudFormation's refusals may repeat them.
pub fn assert_no_secret(what: &str, text: &str) {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let key = words.into_iter().find(|w| w.len() == 20 && (w.starts_with("AKIA") || w.starts_with("ASIA")));
    assert_eq!(key, None, "{what} holds an access key: {text:?}");
    assert!(!text.to_ascii_lowercase().contains("x-amz-security-token"), "{what} holds a session token: {text:?}");
}
