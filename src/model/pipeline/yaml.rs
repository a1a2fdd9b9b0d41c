//! The shape of a pipeline file, for editors (`wavegate schema`) and for the typed second reading. What the values mean and how they
//! must fit together is in `build` and `check`.

mod health;
mod safeguards;

use super::{Irreversible, OnFailure, RegionOrder};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// JSON Schema of pipeline files.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(PipelineYaml).to_value()
}

/// A pipeline: which cells it may reach, in which waves, how health is judged, how it goes back, and what a change must satisfy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Wavegate pipeline")]
#[expect(dead_code, reason = "read for its shape; the values come from the positioned tree")]
pub struct PipelineYaml {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// The name that change sets say.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,62}$"))]
    name: String,
    /// The cells that the pipeline may reach.
    fleet: FleetYaml,
    /// In order. Together they reach every cell once.
    #[schemars(length(min = 1))]
    waves: Vec<WaveYaml>,
    /// How health is judged between waves.
    health: health::HealthYaml,
    /// What happens when health breaks.
    revert: Option<RevertYaml>,
    /// What people must say to which change.
    autonomy: Option<safeguards::AutonomyYaml>,
    /// Who may say it. Without it nobody may, and what needs people is refused.
    approvals: Option<safeguards::ApprovalsYaml>,
    /// Rules with numbers. One that is not named asks nothing.
    guardrails: Option<safeguards::GuardrailsYaml>,
    /// Everything else, in Cedar.
    #[schemars(length(min = 1))]
    policies: Option<Vec<safeguards::PolicyYaml>>,
}

/// The cells.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct FleetYaml {
    /// At least one.
    #[schemars(length(min = 1))]
    cells: Vec<CellYaml>,
}

/// One isolated copy of the service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct CellYaml {
    /// Unique, of lower-case letters, digits and `-`.
    name: String,
    /// Twelve digits, in quotes.
    #[schemars(regex(pattern = "^[0-9]{12}$"))]
    account: String,
    /// As `eu-west-1`.
    region: String,
    /// As `production`.
    environment: String,
    /// ARN of the role that the daemon assumes there; without it the daemon's own credentials are used.
    role: Option<String>,
    /// Percent of the environment's customers that the cell serves; 0 where none is given.
    traffic_share: Option<Percent>,
    /// The change sets' name of a stack: its name in CloudFormation here.
    stacks: BTreeMap<String, String>,
    /// Values for `{cell.KEY}` in dimensions and alarm names.
    attributes: Option<BTreeMap<String, String>>,
}

/// A percentage: `25`, or `"25%"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read for its shape")]
enum Percent {
    /// As a number.
    Number(f64),
    /// As text.
    Text(String),
}

/// A count, or a percentage in quotes, as `"25%"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read for its shape")]
enum AmountYaml {
    /// So many.
    Count(u32),
    /// So many percent; rounds down.
    Percent(String),
}

/// A set of targets changed together, then watched.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct WaveYaml {
    /// Unique in the pipeline.
    name: String,
    /// Only cells of this environment.
    environment: Option<String>,
    /// Which of the cells that no earlier wave took: exactly one of its keys.
    select: SelectYaml,
    /// Exactly one cell: the first wave in production. Default: false.
    one_box: Option<bool>,
    /// Targets in flight at once. Default: 1.
    max_concurrent: Option<AmountYaml>,
    /// Failed targets that the wave bears; one more reverts the rollout. Default: 0.
    failure_tolerance: Option<AmountYaml>,
    /// Whether a region waits for the one before. Default: sequential.
    regions: Option<RegionOrder>,
    /// How long the wave is watched, as `10m`.
    bake: String,
    /// Data points that each metric must have shown in the bake. Default: 0.
    bake_datapoints: Option<u32>,
    /// After this the bake is given up: pause and page. Default: three times the bake, at least 30m.
    max_bake: Option<String>,
}

/// Which cells: exactly one key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
#[expect(dead_code, reason = "read for its shape")]
struct SelectYaml {
    /// These cells, by name.
    cells: Option<Vec<String>>,
    /// So many.
    count: Option<u32>,
    /// So many percent of all cells of the environment (or fleet).
    percent_of_targets: Option<Percent>,
    /// Cells that together serve at most so many percent of traffic.
    percent_of_traffic: Option<Percent>,
    /// All that are left: `true`.
    remaining: Option<bool>,
}

/// How a revert goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct RevertYaml {
    /// Revert every completed wave, or hold and page. Default: revert.
    on_failure: Option<OnFailure>,
    /// Targets of a wave that are reverted at once, in percent, and at least its `max_concurrent`. Default: 33.
    max_concurrent: Option<Percent>,
    /// Whether changes without an inverse may be proposed. Default: refuse.
    irreversible: Option<Irreversible>,
    /// How often a failed rollback is continued. Default: 3.
    continue_rollback_attempts: Option<u32>,
    /// An operation that takes longer is reported. Default: 1h.
    operation_deadline: Option<String>,
}
