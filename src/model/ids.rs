//! Newtypes for every name and number that must not be mixed up with another one.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is; whoever reads input checks it first.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    };
}

text_id!(
    /// One run of one change set through one pipeline.
    RolloutId
);
text_id!(
    /// One stack in one cell, written `cell/stack`: the unit that is changed and reverted.
    TargetId
);
text_id!(
    /// A cell: one isolated copy of the service.
    CellId
);
text_id!(
    /// An AWS account: twelve digits.
    AccountId
);
text_id!(
    /// An AWS region, as `eu-west-1`.
    Region
);
text_id!(
    /// A stack's name as change sets use it; each cell maps it to the physical name of its stack.
    StackKey
);
text_id!(
    /// A stack's physical name in CloudFormation, unique in an account and region.
    StackName
);
text_id!(
    /// A CloudFormation `ClientRequestToken`: at most 128 of `[a-zA-Z0-9][-a-zA-Z0-9]*`.
    Token
);
text_id!(
    /// A stop order.
    KillId
);

impl TargetId {
    /// The target of `stack` in `cell`.
    pub fn of(cell: &CellId, stack: &StackKey) -> Self {
        Self::new(format!("{cell}/{stack}"))
    }
}

/// A SHA-256 digest, in lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(Arc<str>);

impl Digest {
    /// The digest of raw bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)).into())
    }

    /// The digest of a value in the JSON Canonicalization Scheme (RFC 8785).
    ///
    /// # Errors
    /// Refuses a value that holds an integer above 2^53: RFC 8785 writes numbers as IEEE doubles, so two different plans
    /// could share a digest.
    pub fn of_value<T: Serialize>(value: &T) -> Result<Self, DigestError> {
        let json = serde_json::to_value(value).map_err(|e| DigestError::NotJson(e.to_string()))?;
        refuse_big_integers(&json)?;
        let bytes = serde_jcs::to_vec(&json).map_err(|e| DigestError::NotJson(e.to_string()))?;
        Ok(Self::of_bytes(&bytes))
    }

    /// The whole hexadecimal text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters: enough to tell digests apart on a screen.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// Why a value has no digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    /// The value cannot be written as JSON.
    #[error("value cannot be written as JSON: {0}")]
    NotJson(String),
    /// An integer above 2^53 would lose digits in the canonical form.
    #[error("the integer `{0}` is above 2^53 and has no exact canonical form; write it as text")]
    BigInteger(String),
}

fn refuse_big_integers(value: &serde_json::Value) -> Result<(), DigestError> {
    const EXACT: u64 = 1 << 53;
    match value {
        serde_json::Value::Number(n) => {
            let inexact = n.as_u64().is_some_and(|v| v > EXACT) || n.as_i64().is_some_and(|v| v.unsigned_abs() > EXACT);
            if inexact { Err(DigestError::BigInteger(n.to_string())) } else { Ok(()) }
        }
        serde_json::Value::Array(items) => items.iter().try_for_each(refuse_big_integers),
        serde_json::Value::Object(map) => map.values().try_for_each(refuse_big_integers),
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number_id!(
    /// The term of the daemon that leads. Grows by one with every daemon that takes the state directory.
    Epoch
);
number_id!(
    /// A journal record's position; the first one is 1.
    Seq
);
number_id!(
    /// How many times a target has been tried, from 1.
    Attempt
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_above_two_to_the_53_are_refused() {
        assert!(Digest::of_value(&9_007_199_254_740_992_u64).is_ok());
        assert_eq!(
            Digest::of_value(&vec![9_007_199_254_740_993_u64]),
            Err(DigestError::BigInteger("9007199254740993".into()))
        );
        assert!(Digest::of_value(&i64::MIN).is_err());
    }

    #[test]
    fn key_order_does_not_change_a_digest() {
        let a: serde_json::Value = serde_json::json!({"a": 1, "b": 2});
        let b: serde_json::Value = serde_json::json!({"b": 2, "a": 1});
        assert_eq!(Digest::of_value(&a), Digest::of_value(&b));
    }
}
