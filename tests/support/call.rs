//! One recorded call, and the questions that tests ask of many.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

/// What became of a call at the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has arrived and has no answer yet.
    Open,
    /// It reached the provider, and its answer reached the caller.
    Answered,
    /// The connection was cut before the call reached the provider.
    CutBefore,
    /// It reached the provider; the connection was cut before the answer reached the caller.
    CutAfter,
    /// The connection to the provider, or the caller, broke.
    Broken,
}

/// One call of the product to AWS.
#[derive(Clone, Debug)]
pub struct Call {
    /// 1, 2, 3 … in the order of arrival.
    pub number: usize,
    pub at: SystemTime,
    /// How long the answer took; zero while it is open.
    pub took: Duration,
    /// `cloudformation`, `monitoring` (CloudWatch's signing name) or `sts`.
    pub service: String,
    pub action: String,
    /// By the access key, and for a role's credentials by the role that was assumed.
    pub account: String,
    pub region: String,
    pub access_key: String,
    /// The form's fields; empty for CloudWatch's binary protocol.
    pub fields: BTreeMap<String, String>,
    /// The stack's name, also where the call gives an ARN, or a change set's ARN and nothing else.
    pub stack: Option<String>,
    pub fate: Fate,
    /// The provider's answer; 0 when there is none.
    pub status: u16,
    /// The provider's error code, as `Throttling`.
    pub error: Option<String>,
}

impl Call {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// `ChangeSetName` as sent: a name or an ARN.
    pub fn change_set(&self) -> Option<&str> {
        self.field("ChangeSetName")
    }

    /// The change set's name, also where the call gives its ARN.
    pub fn change_set_name(&self) -> Option<&str> {
        let given = self.change_set()?;
        given.split_once(":changeSet/").map_or(Some(given), |(_, rest)| rest.split('/').next())
    }

    pub fn token(&self) -> Option<&str> {
        self.field("ClientRequestToken")
    }

    pub fn disable_rollback(&self) -> Option<&str> {
        self.field("DisableRollback")
    }

    /// Did the provider take it (whatever the caller learned of that)?
    pub fn accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// `account/region/stack`, the name that tests use for a target.
    pub fn target(&self) -> String {
        format!("{}/{}/{}", self.account, self.region, self.stack.as_deref().unwrap_or("-"))
    }
}

/// Recorded calls in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub struct Calls(pub Vec<Call>);

impl Deref for Calls {
    type Target = [Call];
    fn deref(&self) -> &[Call] {
        &self.0
    }
}

impl Calls {
    pub fn filter(&self, keep: impl Fn(&Call) -> bool) -> Calls {
        Calls(self.iter().filter(|call| keep(call)).cloned().collect())
    }

    pub fn of(&self, action: &str) -> Calls {
        self.filter(|call| call.action == action)
    }

    /// Those that arrived after the call of this number.
    pub fn after(&self, number: usize) -> Calls {
        self.filter(|call| call.number > number)
    }

    /// `ExecuteChangeSet` calls that reached the provider, per `ClientRequestToken`.
    pub fn executes_per_token(&self) -> BTreeMap<String, usize> {
        count(self.of("ExecuteChangeSet").iter().filter(|call| call.fate != Fate::CutBefore), |call| {
            call.token().unwrap_or("").to_owned()
        })
    }

    /// `ExecuteChangeSet` calls that the provider took, per `ClientRequestToken`.
    pub fn accepted_executes_per_token(&self) -> BTreeMap<String, usize> {
        count(self.of("ExecuteChangeSet").iter().filter(|call| call.accepted()), |call| {
            call.token().unwrap_or("").to_owned()
        })
    }

    pub fn per_action(&self) -> BTreeMap<String, usize> {
        count(self.iter(), |call| call.action.clone())
    }

    /// The targets of these calls, in order.
    pub fn targets(&self) -> Vec<String> {
        self.iter().map(Call::target).collect()
    }
}

fn count<'a>(calls: impl Iterator<Item = &'a Call>, key: impl Fn(&Call) -> String) -> BTreeMap<String, usize> {
    calls.fold(BTreeMap::new(), |mut counts, call| {
        *counts.entry(key(call)).or_default() += 1;
        counts
    })
}
