//! What policies can ask: the Cedar schema, made from our own types so that the two cannot go apart.
//!
//! Words are entities of enumerated types, as `ChangeClass::"destructive"`: a misspelt one is a fault, not a policy that never
//! applies.

use crate::model::change_set::Action;
use crate::model::class::{Autonomy, ChangeClass, Reversibility};
use crate::model::principal::PrincipalKind;
use cedar_policy::{Entities, EntityId, EntityTypeName, EntityUid, Schema};
use std::fmt::Write as _;
use std::str::FromStr as _;

/// Every kind of principal.
pub const KINDS: [PrincipalKind; 3] = [PrincipalKind::Agent, PrincipalKind::Human, PrincipalKind::Service];
/// Every verdict on undoing.
pub const REVERSIBILITIES: [Reversibility; 3] =
    [Reversibility::Reversible, Reversibility::WithInterruption, Reversibility::Irreversible];
/// Every level.
pub const LEVELS: [Autonomy; 4] =
    [Autonomy::Autonomous, Autonomy::OneApproval, Autonomy::TwoApprovals, Autonomy::Forbidden];
/// Everything that can be wanted of a stack.
pub const STACK_ACTIONS: [Action; 3] = [Action::Update, Action::Create, Action::Delete];

/// The action group of all change classes.
pub const ANY_CHANGE: &str = "change";

/// An attribute of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// Its cell.
    Cell,
    /// The cell's environment.
    Environment,
    /// The cell's account.
    Account,
    /// The cell's region.
    Region,
    /// The change set's name of the stack.
    Key,
    /// Its physical name.
    Stack,
    /// Percent of customers.
    TrafficShare,
    /// Update, create or delete.
    Wants,
    /// Every class of its change.
    Classes,
    /// Whether its change can be undone.
    Reversibility,
    /// Types of resources that leave the stack.
    RemovedTypes,
    /// Types of resources that are replaced, certainly or perhaps.
    ReplacedTypes,
}

impl Attribute {
    /// All of them, in the schema's order.
    pub const ALL: [Self; 12] = [
        Self::Cell,
        Self::Environment,
        Self::Account,
        Self::Region,
        Self::Key,
        Self::Stack,
        Self::TrafficShare,
        Self::Wants,
        Self::Classes,
        Self::Reversibility,
        Self::RemovedTypes,
        Self::ReplacedTypes,
    ];

    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        self.described().0
    }

    /// Name, type and meaning.
    fn described(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Cell => ("cell", "String", "the cell's name"),
            Self::Environment => ("environment", "String", "the cell's environment, as \"production\""),
            Self::Account => ("account", "String", "twelve digits"),
            Self::Region => ("region", "String", "as \"eu-west-1\""),
            Self::Key => ("key", "String", "the change set's name of the stack"),
            Self::Stack => ("stack", "String", "the stack's physical name"),
            Self::TrafficShare => ("traffic_share", "decimal", "percent of customers that the cell serves"),
            Self::Wants => ("wants", "StackAction", "what is wanted of the stack"),
            Self::Classes => ("classes", "Set<ChangeClass>", "every class of this stack's change"),
            Self::Reversibility => ("reversibility", "Reversibility", "the worst of this stack's change"),
            Self::RemovedTypes => ("removed_types", "Set<String>", "as \"AWS::RDS::DBInstance\""),
            Self::ReplacedTypes => ("replaced_types", "Set<String>", "certainly or perhaps"),
        }
    }
}

/// What is known of the rollout as a whole: name, type, meaning. A name that ends in `?` may be missing.
const CONTEXT: [(&str, &str, &str); 12] = [
    ("pipeline", "String", "the pipeline's name"),
    ("targets", "Long", "stacks"),
    ("resources", "Long", "resources that are added, changed, replaced or removed"),
    ("waves", "Long", "waves"),
    ("percent_of_traffic", "decimal", "percent of customers whose cells are reached"),
    ("environments", "Set<String>", "every environment that is reached"),
    ("classes", "Set<ChangeClass>", "every class that occurs"),
    ("reversibility", "Reversibility", "the worst that occurs"),
    ("removed_types", "Set<String>", "types of resources that leave any stack"),
    ("replaced_types", "Set<String>", "types of resources that are replaced in any stack, certainly or perhaps"),
    ("monthly_cents?", "Long", "more a month, in hundredths of the price book's currency; missing: nobody knows"),
    ("needs", "Autonomy", "what people must say by the autonomy table and the guardrails"),
];

/// The word of a kind of principal: an entity type.
pub fn kind_word(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Agent => "Agent",
        PrincipalKind::Human => "Human",
        PrincipalKind::Service => "Service",
    }
}

/// The word of a verdict.
pub fn reversibility_word(verdict: Reversibility) -> &'static str {
    match verdict {
        Reversibility::Reversible => "reversible",
        Reversibility::WithInterruption => "with_interruption",
        Reversibility::Irreversible => "irreversible",
    }
}

/// The word of what is wanted of a stack.
pub fn action_word(action: Action) -> &'static str {
    match action {
        Action::Update => "update",
        Action::Create => "create",
        Action::Delete => "delete",
    }
}

/// The schema in Cedar's own syntax, as `pipelines/policies/wavegate.cedarschema` has it.
pub fn text() -> String {
    let quoted = |words: Vec<&str>| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let classes = quoted(ChangeClass::ALL.map(ChangeClass::as_str).to_vec());
    let verdicts = quoted(REVERSIBILITIES.map(reversibility_word).to_vec());
    let levels = quoted(LEVELS.map(Autonomy::as_str).to_vec());
    let wants = quoted(STACK_ACTIONS.map(action_word).to_vec());
    let kinds = KINDS.map(kind_word).join(", ");
    let target: String = Attribute::ALL.iter().fold(String::new(), |out, a| field(out, a.described()));
    let context: String = CONTEXT.iter().fold(String::new(), |out, f| field(out, *f));
    format!(
        "// What Wavegate's policies can ask. Made from its own types by `wavegate policy schema`; not to be edited.\n\n\
         // What a change does. A stack's change may have several; each is asked about by the action of its name.\n\
         entity ChangeClass enum [{classes}];\n\n\
         // What a revert can do about it.\n\
         entity Reversibility enum [{verdicts}];\n\n\
         // What people must say to it.\n\
         entity Autonomy enum [{levels}];\n\n\
         // What is wanted of a stack.\n\
         entity StackAction enum [{wants}];\n\n\
         // Who proposes it. Names, parties and groups are in lower case, without spaces around them.\n\
         entity {kinds} = {{\n  name: String,\n  party: String,\n  groups: Set<String>,\n}};\n\n\
         // One stack in one cell; its id is `cell/key`.\n\
         entity Target = {{\n{target}}};\n\n\
         // What is known of the rollout as a whole. What an agent says of its change is not in it.\n\
         type Rollout = {{\n{context}}};\n\n\
         action \"{ANY_CHANGE}\";\n\n\
         action {classes} in [\"{ANY_CHANGE}\"] appliesTo {{\n  principal: [{kinds}],\n  resource: [Target],\n  context: Rollout,\n}};\n"
    )
}

fn field(mut out: String, (name, kind, meaning): (&str, &str, &str)) -> String {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {name}: {kind}, // {meaning}");
    out
}

/// What holds of every question that is ever asked, as policies that forbid what cannot be: without it a proof would stumble over
/// requests that there are not.
pub fn facts() -> String {
    let each = ChangeClass::ALL.iter().fold(String::new(), |mut out, class| {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "forbid(principal, action == Action::\"{class}\", resource) unless {{ resource.classes.contains(ChangeClass::\"{class}\") }};"
        );
        out
    });
    let whole = [
        "context.classes.containsAll(resource.classes)",
        "context.environments.contains(resource.environment)",
        "context.removed_types.containsAll(resource.removed_types)",
        "context.replaced_types.containsAll(resource.replaced_types)",
        "context.targets >= 1",
        "context.resources >= 0",
        "context.waves >= 1",
        "context.percent_of_traffic.greaterThanOrEqual(decimal(\"0.0\"))",
        "resource.traffic_share.greaterThanOrEqual(decimal(\"0.0\"))",
        "(resource.reversibility != Reversibility::\"irreversible\" || context.reversibility == Reversibility::\"irreversible\")",
    ];
    whole.iter().fold(each, |mut out, fact| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "forbid(principal, action, resource) unless {{ {fact} }};");
        out
    })
}

/// The schema, read, and the names in it.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// For validation and proofs.
    pub schema: Schema,
    /// The actions with their group.
    pub actions: Entities,
    types: [(&'static str, EntityTypeName); 9],
}

impl Vocabulary {
    /// Reads the schema.
    ///
    /// # Errors
    /// The schema is not sound: a defect of this program.
    pub fn new() -> Result<Self, String> {
        let (schema, _) = Schema::from_cedarschema_str(&text()).map_err(|e| format!("{:?}", miette::Report::new(e)))?;
        let actions = schema.action_entities().map_err(|e| e.to_string())?;
        let named =
            |name: &'static str| EntityTypeName::from_str(name).map(|typed| (name, typed)).map_err(|e| e.to_string());
        let types = [
            named("Agent")?,
            named("Human")?,
            named("Service")?,
            named("Target")?,
            named("Action")?,
            named("ChangeClass")?,
            named("Reversibility")?,
            named("Autonomy")?,
            named("StackAction")?,
        ];
        Ok(Self { schema, actions, types })
    }

    /// The entity of this type and name; none: the schema has no such type.
    pub fn uid(&self, kind: &str, id: &str) -> Option<EntityUid> {
        let (_, typed) = self.types.iter().find(|(name, _)| *name == kind)?;
        Some(EntityUid::from_type_name_and_id(typed.clone(), EntityId::new(id)))
    }
}
