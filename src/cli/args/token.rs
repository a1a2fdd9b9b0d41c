//! `token`: its words.

use crate::api::auth::store::LIFE_MAX;
use crate::model::principal::{PrincipalKind, Role};
use clap::{Args as ClapArgs, Subcommand};
use std::time::Duration;

/// `token`
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print it, this once
    Create(TokenCreateArgs),
    /// Show which tokens there are; never the tokens themselves
    List(TokenListArgs),
    /// Take a token back: it lets nobody in from the next request on
    Revoke(TokenRevokeArgs),
}

/// `token create`
#[derive(Clone, Debug, ClapArgs)]
pub struct TokenCreateArgs {
    /// Whose it is: the name in records, approvals and change sets (an agent proposes in this name)
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What they are: agent, human or service
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub kind: PrincipalKind,
    /// For whom they act: a team, a vendor
    #[arg(long, value_name = "PARTY")]
    pub party: String,
    /// What they may do: proposer, author, approver, operator or auditor; may be repeated
    #[arg(long, required = true, value_name = "ROLE", value_parser = role)]
    pub role: Vec<Role>,
    /// A group that pipelines ask approvals of; may be repeated
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// For how long, as 30d or 12h, at most 366d
    #[arg(long, default_value = "90d", value_name = "SPAN", value_parser = life)]
    pub expires: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `token list`
#[derive(Clone, Debug, ClapArgs)]
pub struct TokenListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `token revoke`
#[derive(Clone, Debug, ClapArgs)]
pub struct TokenRevokeArgs {
    /// Its id, or a name: then every token of that name
    #[arg(value_name = "ID|NAME")]
    pub token: String,
}

fn kind(text: &str) -> Result<PrincipalKind, String> {
    let all = [PrincipalKind::Agent, PrincipalKind::Human, PrincipalKind::Service];
    all.into_iter().find(|kind| kind.name() == text).ok_or_else(|| "there are: agent, human, service".to_owned())
}

fn role(text: &str) -> Result<Role, String> {
    let known = || format!("there are: {}", Role::ALL.map(Role::name).join(", "));
    Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(known)
}

fn life(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let span = match days {
        Some(days) => Some(Duration::from_secs(days.saturating_mul(24 * 3600))),
        None => text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok()),
    };
    match span {
        Some(span) if !span.is_zero() && span <= LIFE_MAX => Ok(span),
        Some(_) => Err("more than nothing, and at most 366d".into()),
        None => Err("write it as 30d or 12h".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_days_and_hours_are_read() {
        assert_eq!(life("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(life("366d"), Ok(LIFE_MAX));
        assert_eq!(life("12h"), Ok(Duration::from_secs(12 * 3600)));
        for wrong in
            ["", "0d", "-1d", "367d", "90", "1y", "d", "99999999999999999999d", "18446744073709551615d", "-5h", "0s"]
        {
            assert!(life(wrong).is_err(), "{wrong}");
        }
    }
}
