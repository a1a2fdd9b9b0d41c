//! The fleet, the pipeline with every guardrail, and the change set: 1,000 cells × 5 stacks over 20 regions and 10 accounts.

use std::fmt::Write as _;
use wavegate::engine::planner;
use wavegate::model::change_set;
use wavegate::model::pipeline::{self, Pipeline};
use wavegate::model::plan::Plan;

pub const CELLS: usize = 1_000;
pub const STACKS: [&str; 5] = ["network", "storage", "orders", "reports", "edge"];
const REGIONS: usize = 20;
const ACCOUNTS: usize = 10;
/// Of each of the two environments before production.
const BEFORE_PRODUCTION: usize = 100;

/// When everything happens: a Tuesday, within the calendar's window.
pub const NOW: &str = "2026-11-24T10:00:00Z";

/// Policy files that the pipeline names, each with its text: twenty policies.
pub const POLICIES: &[(&str, &str)] = &[
    ("never-delete-data.cedar", include_str!("../../pipelines/policies/never-delete-data.cedar")),
    ("policies.cedar", include_str!("policies.cedar")),
];

const SAFEGUARDS: &str = r#"revert: {max_concurrent: 50, irreversible: allow}
autonomy:
  environments:
    staging: {disruptive: autonomous}
    production: {irreversible: two_approvals}
  earned: {return_after: 3}
approvals:
  people:
    - {name: dana, party: platform, groups: [sre]}
    - {name: sam, party: security, groups: [sre]}
    - {name: robin, party: orders}
  agents:
    - {name: release-agent, party: orders}
  two_approvals: {count: 2, parties: 2, groups: {sre: 1}}
guardrails:
  blast_radius:
    rollout: {max_targets: 6000, max_resources: 30000, max_percent_of_traffic: 100}
    at_once: {max_targets: 400, max_failure_domains: 20, failure_domain: region, min_capacity_percent: 20}
    window:
      per: 24h
      agent: {max_targets: 20000, max_resources: 100000, max_percent_of_traffic: 100}
      pipeline: {max_targets: 20000, max_resources: 100000, max_percent_of_traffic: 100}
      fleet: {max_targets: 20000, max_resources: 100000, max_percent_of_traffic: 100}
  calendar:
    time_zone: Europe/Berlin
    weekly_windows:
      - {days: [mon, tue, wed, thu], from: "09:00", to: "16:00"}
      - {days: [fri], from: "09:00", to: "12:00", applies_to: people}
    freezes:
      - {from: "2026-12-18T12:00", to: "2027-01-04T09:00", reason: end of the year}
      - {from: "2026-11-26T00:00", to: "2026-12-01T09:00", reason: Black Friday}
  rate: {per: 1h, agent: 20, pipeline: 50, fleet: 100}
  cost: {price_book: prices.yaml, max_monthly_increase: 20000}
  dependents: {imported: one_approval}
  drift: {drifted: one_approval, max_age: 48h}
  environment_order: {order: [development, staging, production], sign_off: [staging]}
"#;

const HEALTH: &str = r#"health:
  interval: 30s
  metrics:
    - {name: errors, namespace: Orders, metric: 5xx, dimensions: {Cell: "{cell}"}, statistic: Average, period: 60s, fail_when: "> 5"}
"#;

const PRICES: &str = r#"version: 1
kind: price_book
dated: "2026-11-01"
max_age_days: 90
currency: USD
prices:
  AWS::RDS::DBInstance:
    - {when: {DBInstanceClass: db.r6g.large}, monthly: 164.25, monthly_per: {AllocatedStorage: 0.115}}
    - {when: {DBInstanceClass: db.r6g.xlarge}, monthly: 328.5, monthly_per: {AllocatedStorage: 0.115}}
  AWS::ECS::Service:
    - {monthly: 36.04, times: DesiredCount}
  AWS::Lambda::Function:
    - {monthly: 0}
  AWS::DynamoDB::Table:
    - {when: {BillingMode: PAY_PER_REQUEST}, monthly: 0}
"#;

/// The pipeline, read as it is at a start.
pub fn pipeline() -> Pipeline {
    let yaml = yaml();
    let find = |path: &str| match path {
        "prices.yaml" => Ok(PRICES.as_bytes().to_vec()),
        path => POLICIES
            .iter()
            .find(|(file, _)| *file == path)
            .map(|(_, text)| text.as_bytes().to_vec())
            .ok_or_else(|| format!("`{path}` is not there")),
    };
    pipeline::read::read_with("fleet.yaml", yaml.as_bytes(), &find).unwrap_or_else(|faults| panic!("{faults}"))
}

/// One change of all five stacks.
pub fn plan(pipeline: &Pipeline, rollout: &str) -> Plan {
    let mut change = String::from(
        "version: 1\nagent: release-agent\ntitle: Measure\nreasoning: To see how long it takes.\npipeline: fleet\nstacks:\n",
    );
    for stack in STACKS {
        let _ = writeln!(change, "  {stack}: {{action: update, template_file: {stack}.yaml}}");
    }
    let template = |path: &str| {
        Ok(format!("Description: {path}\nParameters: {{Level: {{Type: String}}}}\nResources: {{A: {{Type: AWS::SNS::Topic}}}}\n").into_bytes())
    };
    let admitted = change_set::read::read("change.yaml", change.as_bytes(), &template).unwrap();
    planner::plan(&admitted, pipeline, rollout.into(), false, NOW.parse().unwrap()).unwrap()
}

fn yaml() -> String {
    let mut yaml = String::from("version: 1\nname: fleet\nfleet:\n  cells:\n");
    for number in 0..CELLS {
        let (environment, share) = match number / BEFORE_PRODUCTION {
            0 => ("development", ""),
            1 => ("staging", ""),
            _ => ("production", "traffic_share: 0.125, "),
        };
        let (account, region) = (number % ACCOUNTS, number % REGIONS);
        let stacks: Vec<String> = STACKS.iter().map(|stack| format!("{stack}: {stack}-c{number:04}")).collect();
        let _ = writeln!(
            yaml,
            "    - {{name: c{number:04}, account: \"{:012}\", region: xx-region-{region}, environment: {environment}, {share}\
             stacks: {{{}}}}}",
            111_111_111_111_u64 + account as u64,
            stacks.join(", ")
        );
    }
    yaml.push_str("waves:\n");
    let waves = [
        ("development", "development", "remaining: true"),
        ("staging", "staging", "remaining: true"),
        ("one-box", "production", "count: 1"),
        ("first", "production", "percent_of_traffic: 10"),
        ("second", "production", "percent_of_traffic: 40"),
        ("rest", "production", "remaining: true"),
    ];
    for (name, environment, select) in waves {
        let _ = writeln!(
            yaml,
            "  - {{name: {name}, environment: {environment}, select: {{{select}}}, max_concurrent: 200, regions: parallel, \
             bake: 10m, bake_datapoints: 5, max_bake: 1h}}"
        );
    }
    yaml.push_str(HEALTH);
    yaml.push_str(SAFEGUARDS);
    if !POLICIES.is_empty() {
        yaml.push_str("policies:\n");
        POLICIES.iter().for_each(|(file, _)| {
            let _ = writeln!(yaml, "  - {{file: {file}}}");
        });
    }
    yaml
}
