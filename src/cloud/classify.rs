//! What an SDK error proves: whether the call had no effect, or whether only a newer read can tell.
//!
//! The default is the cautious one. Only an answer from the provider below 500, or a call that found no connection or no
//! credentials, proves that nothing happened.

use super::call::{Nature, Operation};
use crate::model::observation::{ProviderError, ProviderErrorKind};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_cloudformation::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use std::error::Error;

/// Enough for every sentence that CloudFormation writes, and little enough for a journal record.
const MAX_MESSAGE_CHARS: usize = 500;

/// How deep a chain of causes is read. The SDK nests about six; a bound keeps a cyclic one from holding us.
const MAX_CAUSES: usize = 16;

/// The model's error for an SDK error of `operation`.
pub fn classify<E>(operation: Operation, error: &SdkError<E>) -> ProviderError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let unknown = unknown_outcome(operation);
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().unwrap_or_default();
            let message = answer.err().message().unwrap_or_default();
            provider_error(operation, of_code(code, status, message).unwrap_or(unknown), code, message)
        }
        SdkError::ConstructionFailure(_) => with_causes(operation, ProviderErrorKind::Rejected, error),
        SdkError::DispatchFailure(failure) => {
            let kind = failure.as_connector_error().and_then(never_sent).unwrap_or(unknown);
            with_causes(operation, kind, error)
        }
        // A timeout, an unreadable answer, or a failure that a later SDK invents.
        _ => with_causes(operation, unknown, error),
    }
}

/// An error that we find ourselves: in an answer that lacks a part, or before anything was sent.
pub fn local_error(operation: Operation, kind: ProviderErrorKind, message: &str) -> ProviderError {
    provider_error(operation, kind, "", message)
}

/// An answer that cannot be used. For an operation with an effect that effect may have happened.
pub fn unusable_answer(operation: Operation, message: &str) -> ProviderError {
    local_error(operation, unknown_outcome(operation), message)
}

fn unknown_outcome(operation: Operation) -> ProviderErrorKind {
    match operation.nature() {
        Nature::Read => ProviderErrorKind::Unavailable,
        Nature::Repeatable | Nature::Once => ProviderErrorKind::Ambiguous,
    }
}

/// The meaning of an answer; `None` when it leaves the outcome open.
/// Source: "Common errors" and each operation's "Errors" in the CloudFormation and CloudWatch API references.
fn of_code(code: &str, status: u16, message: &str) -> Option<ProviderErrorKind> {
    use ProviderErrorKind::{AlreadyExists, Denied, NotFound, Throttled};
    let kind = match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException" => Throttled,
        // A server that broke has not proven anything with the word that it chose: "not found" from it would let a fence
        // count as done.
        _ if status >= 500 => return None,
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Denied,
        "AlreadyExistsException" => AlreadyExists,
        "ChangeSetNotFound" | "ChangeSetNotFoundException" | "StackNotFoundException" => NotFound,
        "ValidationError" if says_no_such_stack(message) => NotFound,
        _ => return of_status(status),
    };
    Some(kind)
}

/// `Stack with id x does not exist`, `Stack [x] does not exist`, `ChangeSet [x] does not exist`. Other things that do not
/// exist, as a role or a parameter, are faults of the request.
fn says_no_such_stack(message: &str) -> bool {
    (message.starts_with("Stack") || message.starts_with("ChangeSet")) && message.contains("does not exist")
}

fn of_status(status: u16) -> Option<ProviderErrorKind> {
    match status {
        429 => Some(ProviderErrorKind::Throttled),
        401 | 403 => Some(ProviderErrorKind::Denied),
        // "Request timeout": the server did not read it to the end, but says no more than that.
        408 => None,
        400..=499 => Some(ProviderErrorKind::Rejected),
        _ => None,
    }
}

/// What a failure to send proves: `Some` when no byte of the request can have left. Everything that happens after a
/// connection stands (a reset, a timeout) leaves the outcome open.
fn never_sent(error: &ConnectorError) -> Option<ProviderErrorKind> {
    let mut causes = causes(error);
    causes.find_map(|cause| {
        if let Some(credentials) = cause.downcast_ref::<CredentialsError>() {
            return Some(of_credentials(credentials));
        }
        let connecting = cause.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|e| e.is_connect());
        connecting.then_some(ProviderErrorKind::Unavailable)
    })
}

fn of_credentials(error: &CredentialsError) -> ProviderErrorKind {
    match error {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
            ProviderErrorKind::Denied
        }
        // The role could not be assumed: by permission, or because STS did not answer.
        other if causes(other).any(|cause| cause.to_string().contains("AccessDenied")) => ProviderErrorKind::Denied,
        _ => ProviderErrorKind::Unavailable,
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source()).take(MAX_CAUSES)
}

fn with_causes(operation: Operation, kind: ProviderErrorKind, error: &(dyn Error + 'static)) -> ProviderError {
    let mut words: Vec<String> = causes(error).map(ToString::to_string).collect();
    words.dedup();
    provider_error(operation, kind, "", &words.join(": "))
}

fn provider_error(operation: Operation, kind: ProviderErrorKind, code: &str, message: &str) -> ProviderError {
    // INVARIANT: S20. This answer repeats the signed headers, the session token among them.
    let quotes_headers = matches!(code, "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature");
    let message = if quotes_headers { "the request's signature was refused".to_owned() } else { clean(message) };
    ProviderError { operation: operation.as_str().to_owned(), kind, code: clean(code), message }
}

/// The provider's words, fit for a log: cut, control characters escaped, access key ids and session tokens struck out.
pub(super) fn clean(text: &str) -> String {
    let text = match text.to_ascii_lowercase().find("x-amz-security-token") {
        Some(at) => text.get(..at).unwrap_or_default(),
        None => text,
    };
    let mut clean = String::with_capacity(text.len().min(MAX_MESSAGE_CHARS));
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let (name, end) = match word.char_indices().next_back() {
            Some((at, last)) if !last.is_ascii_alphanumeric() => word.split_at(at),
            _ => (word, ""),
        };
        clean.push_str(if is_access_key(name) { "****" } else { name });
        for c in end.chars() {
            if c.is_control() { clean.extend(c.escape_default()) } else { clean.push(c) }
        }
    }
    match clean.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((at, _)) => format!("{}…", clean.get(..at).unwrap_or_default()),
        None => clean,
    }
}

/// Source: IAM user guide, "Unique identifiers": `AKIA` long-lived, `ASIA` temporary, twenty characters.
fn is_access_key(word: &str) -> bool {
    word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProviderErrorKind::{AlreadyExists, Ambiguous, Denied, NotFound, Rejected, Throttled, Unavailable};
    use aws_sdk_cloudformation::config::http::HttpResponse;
    use aws_sdk_cloudformation::error::ErrorMetadata;
    use aws_sdk_cloudformation::operation::execute_change_set::ExecuteChangeSetError as E;

    fn answer(operation: Operation, status: u16, code: &str, message: &str) -> ProviderError {
        let meta = ErrorMetadata::builder().code(code).message(message).build();
        let raw = HttpResponse::new(status.try_into().unwrap(), "".into());
        classify(operation, &SdkError::service_error(E::generic(meta), raw))
    }

    #[test]
    fn every_code_has_its_meaning() {
        for (status, code, message, kind) in [
            (400, "Throttling", "Rate exceeded", Throttled),
            (400, "ThrottlingException", "", Throttled),
            (503, "RequestLimitExceeded", "", Throttled),
            (429, "TooManyRequestsException", "", Throttled),
            (429, "", "", Throttled),
            (403, "AccessDenied", "", Denied),
            (400, "AccessDeniedException", "", Denied),
            (403, "ExpiredToken", "", Denied),
            (400, "ExpiredTokenException", "", Denied),
            (403, "InvalidClientTokenId", "", Denied),
            (400, "UnrecognizedClientException", "", Denied),
            (403, "SignatureDoesNotMatch", "", Denied),
            (403, "SomethingNew", "", Denied),
            (400, "AlreadyExistsException", "", AlreadyExists),
            (404, "ChangeSetNotFound", "", NotFound),
            (400, "ValidationError", "Stack with id x does not exist", NotFound),
            (400, "ValidationError", "Stack [x] does not exist", NotFound),
            (400, "ValidationError", "ChangeSet [x] does not exist", NotFound),
            (400, "ValidationError", "Role arn:aws:iam::1:role/x does not exist", Rejected),
            (400, "ValidationError", "No updates are to be performed.", Rejected),
            (400, "InvalidChangeSetStatus", "", Rejected),
            (400, "LimitExceededException", "", Rejected),
            (400, "InsufficientCapabilitiesException", "", Rejected),
            (400, "TokenAlreadyExistsException", "", Rejected),
            (400, "SomethingNew", "", Rejected),
            (408, "RequestTimeout", "", Ambiguous),
            (500, "InternalFailure", "", Ambiguous),
            (503, "ServiceUnavailable", "", Ambiguous),
            (500, "ChangeSetNotFound", "", Ambiguous),
            (502, "ValidationError", "Stack with id x does not exist", Ambiguous),
            (503, "AccessDenied", "", Ambiguous),
            (500, "AlreadyExistsException", "", Ambiguous),
            (200, "", "", Ambiguous),
        ] {
            let error = answer(Operation::ExecuteChangeSet, status, code, message);
            assert_eq!(error.kind, kind, "{status} {code} {message}");
            let read = if kind == Ambiguous { Unavailable } else { kind };
            assert_eq!(answer(Operation::DescribeStacks, status, code, message).kind, read, "{status} {code}");
        }
    }

    #[test]
    fn failures_without_an_answer() {
        let io = |kind| ConnectorError::io(Box::new(std::io::Error::from(kind)));
        let kinds = |error: SdkError<E>| {
            (classify(Operation::ExecuteChangeSet, &error).kind, classify(Operation::DescribeStacks, &error).kind)
        };
        let open = (Ambiguous, Unavailable);
        assert_eq!(kinds(SdkError::timeout_error("slow")), open);
        assert_eq!(kinds(SdkError::dispatch_failure(io(std::io::ErrorKind::ConnectionReset))), open);
        assert_eq!(kinds(SdkError::dispatch_failure(ConnectorError::timeout("slow".into()))), open);
        // An input/output error that does not come from the act of connecting proves nothing.
        assert_eq!(kinds(SdkError::dispatch_failure(io(std::io::ErrorKind::ConnectionRefused))), open);
        let raw = HttpResponse::new(200.try_into().unwrap(), "".into());
        assert_eq!(kinds(SdkError::response_error("cut off", raw)), open);
        assert_eq!(kinds(SdkError::construction_failure("no region")), (Rejected, Rejected));
        let none = ConnectorError::other(Box::new(CredentialsError::not_loaded("none")), None);
        assert_eq!(kinds(SdkError::dispatch_failure(none)), (Denied, Denied));
        let late = CredentialsError::provider_timed_out(std::time::Duration::from_secs(5));
        let late = ConnectorError::other(Box::new(late), None);
        assert_eq!(kinds(SdkError::dispatch_failure(late)), (Unavailable, Unavailable));
        let denied = CredentialsError::provider_error("AccessDenied: not authorized to assume");
        let denied = ConnectorError::other(Box::new(denied), None);
        assert_eq!(kinds(SdkError::dispatch_failure(denied)), (Denied, Denied));
    }

    #[test]
    fn messages_are_clean() {
        let text = "key AKIAIOSFODNN7EXAMPLE, bad\u{1b}[2J\nrow; X-Amz-Security-Token:secret";
        assert_eq!(clean(text), "key ****, bad\\u{1b}[2J\\nrow; ");
        assert_eq!(clean("ends with ASIAIOSFODNN7EXAMPLE"), "ends with ****");
        assert_eq!(clean(&"é".repeat(2000)).chars().count(), MAX_MESSAGE_CHARS + 1);
        let error =
            answer(Operation::DescribeStacks, 403, "SignatureDoesNotMatch", "The Canonical String was 'secret'");
        assert!(!error.message.contains("secret"));
    }
}
