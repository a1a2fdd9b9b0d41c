//! CloudFormation's query protocol over stacks that hold one resource each: the change-set rules are AWS's, as far as the
//! protocol of a rollout meets them.

use crate::{ACCOUNT, STACKS, region_of, stack_name, update_seconds};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// `DescribeStacks` lists so many a page.
const PAGE: usize = 100;

/// What a form holds.
pub type Fields = BTreeMap<String, String>;

/// AWS's error: status, code and message.
pub struct Refusal(pub u16, pub &'static str, pub String);

type Answer = Result<String, Refusal>;

/// The inputs of a stack that a change set can alter.
#[derive(Clone, Default, PartialEq, Eq)]
struct Inputs {
    template: String,
    parameters: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    capabilities: Vec<String>,
}

struct ChangeSet {
    id: String,
    name: String,
    inputs: Inputs,
    empty: bool,
    executed: bool,
}

struct Update {
    /// As AWS dates it from the start of the update on.
    began: jiff::Timestamp,
    ends: Instant,
    token: String,
    noted: bool,
}

struct Stack {
    name: String,
    id: String,
    inputs: Inputs,
    change_sets: Vec<ChangeSet>,
    update: Option<Update>,
    events: Vec<String>,
    /// Updates that were started.
    executed: usize,
}

/// Every stack of every region, and what was done to them.
pub struct World {
    regions: BTreeMap<&'static str, BTreeMap<String, Stack>>,
    /// The first template, by which a revert is known.
    original: String,
    /// Stacks in the order in which their updates were started.
    pub executes: Vec<String>,
    counter: u64,
}

impl World {
    /// Every stack made from one template.
    pub fn new(template: &str) -> Self {
        let mut regions: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for number in 0..STACKS {
            let (name, region) = (stack_name(number), region_of(number));
            let stack = Stack {
                id: format!(
                    "arn:aws:cloudformation:{region}:{ACCOUNT}:stack/{name}/00000000-0000-4000-8000-{number:012}"
                ),
                name: name.clone(),
                inputs: Inputs { template: template.to_owned(), ..Inputs::default() },
                change_sets: vec![],
                update: None,
                events: vec![],
                executed: 0,
            };
            regions.entry(region).or_default().insert(name, stack);
        }
        Self { regions, original: template.to_owned(), executes: vec![], counter: 0 }
    }

    fn stacks(&self) -> impl Iterator<Item = &Stack> {
        self.regions.values().flat_map(BTreeMap::values)
    }

    /// Stacks whose first update has ended.
    pub fn updated(&self) -> usize {
        self.stacks().filter(|stack| stack.executed > 0 && !(stack.executed == 1 && stack.in_progress())).count()
    }

    /// Stacks as they were at first, and not being updated; and those that are something else.
    pub fn original_and_changed(&self) -> (usize, usize) {
        let original = self.stacks().filter(|s| !s.in_progress() && s.inputs.template == self.original).count();
        (original, STACKS - original)
    }

    /// Answers one call.
    pub fn answer(&mut self, action: &str, region: &str, fields: &Fields) -> Answer {
        self.counter += 1;
        let serial = self.counter;
        let Some(stacks) = self.regions.get_mut(region) else {
            return Err(invalid(format!("no stacks in {region}")));
        };
        if action == "DescribeStacks" && !fields.contains_key("StackName") {
            return list(stacks, fields);
        }
        let change_set = fields.get("ChangeSetName").map(String::as_str);
        let given = fields.get("StackName").map(|given| name_in(given).to_owned());
        let name = given
            .or_else(|| change_set.and_then(|id| owner(stacks, id)))
            .ok_or_else(|| not_found(action, change_set.unwrap_or("")))?;
        let stack = stacks.get_mut(&name);
        let stack = stack.ok_or_else(|| invalid(format!("Stack with id {name} does not exist")))?;
        stack.settle();
        match action {
            "DescribeStacks" => Ok(format!("<Stacks>{}</Stacks>", stack.describe())),
            "GetTemplate" => stack.template(change_set),
            "GetStackPolicy" => Ok(String::new()),
            "CreateChangeSet" => stack.create_change_set(fields, serial, region),
            "DescribeChangeSet" => Ok(stack.find(change_set)?.describe(stack)),
            "DeleteChangeSet" => {
                let gone = change_set.unwrap_or("");
                stack.change_sets.retain(|known| !known.is(gone));
                Ok(String::new())
            }
            "ExecuteChangeSet" => {
                stack.execute(change_set, fields.get("ClientRequestToken").map_or("", String::as_str), serial)?;
                self.executes.push(name);
                Ok(String::new())
            }
            "DescribeStackEvents" => {
                Ok(format!("<StackEvents>{}</StackEvents>", stack.events.iter().rev().cloned().collect::<String>()))
            }
            "ListStackResources" => Ok(format!("<StackResourceSummaries>{RESOURCE}</StackResourceSummaries>")),
            "DescribeStackResources" => Ok(format!("<StackResources>{RESOURCE}</StackResources>")),
            "ListChangeSets" => Ok(stack.list_change_sets()),
            other => Err(invalid(format!("the stub does not know {other}"))),
        }
    }
}

const RESOURCE: &str = "<member><LogicalResourceId>Setting</LogicalResourceId><PhysicalResourceId>setting</PhysicalResourceId>\
     <ResourceType>AWS::SSM::Parameter</ResourceType><ResourceStatus>UPDATE_COMPLETE</ResourceStatus>\
     <LastUpdatedTimestamp>2026-01-01T00:00:00Z</LastUpdatedTimestamp><Timestamp>2026-01-01T00:00:00Z</Timestamp></member>";

fn list(stacks: &mut BTreeMap<String, Stack>, fields: &Fields) -> Answer {
    let from: usize = fields.get("NextToken").and_then(|token| token.parse().ok()).unwrap_or(0);
    let mut xml = String::from("<Stacks>");
    for stack in stacks.values_mut().skip(from).take(PAGE) {
        stack.settle();
        xml.push_str(&stack.describe());
    }
    xml.push_str("</Stacks>");
    if from + PAGE < stacks.len() {
        let _ = write!(xml, "<NextToken>{}</NextToken>", from + PAGE);
    }
    Ok(xml)
}

fn owner(stacks: &BTreeMap<String, Stack>, change_set: &str) -> Option<String> {
    stacks.values().find(|stack| stack.change_sets.iter().any(|known| known.id == change_set)).map(|s| s.name.clone())
}

fn name_in(given: &str) -> &str {
    given.split_once(":stack/").map_or(given, |(_, rest)| rest.split('/').next().unwrap_or(rest))
}

fn invalid(message: String) -> Refusal {
    Refusal(400, "ValidationError", message)
}

fn not_found(action: &str, change_set: &str) -> Refusal {
    Refusal(404, "ChangeSetNotFound", format!("{action}: ChangeSet [{change_set}] does not exist"))
}

impl Stack {
    fn in_progress(&self) -> bool {
        self.update.as_ref().is_some_and(|update| update.ends > Instant::now())
    }

    fn status(&self) -> &'static str {
        match &self.update {
            None => "CREATE_COMPLETE",
            Some(update) if update.ends > Instant::now() => "UPDATE_IN_PROGRESS",
            Some(_) => "UPDATE_COMPLETE",
        }
    }

    /// Notes the end of an update that has ended.
    fn settle(&mut self) {
        let Some(update) = &mut self.update else { return };
        if update.ends <= Instant::now() && !update.noted {
            update.noted = true;
            let event = event(&self.name, &self.id, "UPDATE_COMPLETE", &update.token, self.events.len());
            self.events.push(event);
        }
    }

    fn describe(&self) -> String {
        let updated = self.update.as_ref();
        let updated = updated.map(|u| format!("<LastUpdatedTime>{:.3}</LastUpdatedTime>", u.began)).unwrap_or_default();
        format!(
            "<member><StackName>{}</StackName><StackId>{}</StackId><StackStatus>{}</StackStatus>\
             <CreationTime>2026-01-01T00:00:00Z</CreationTime>{updated}<DisableRollback>false</DisableRollback>\
             <EnableTerminationProtection>false</EnableTerminationProtection><RollbackConfiguration/>\
             <NotificationARNs/>{}</member>",
            self.name,
            self.id,
            self.status(),
            self.inputs.xml()
        )
    }

    fn template(&self, change_set: Option<&str>) -> Answer {
        let inputs = match change_set {
            Some(_) => &self.find(change_set)?.inputs,
            None => &self.inputs,
        };
        Ok(format!(
            "<TemplateBody>{}</TemplateBody><StagesAvailable><member>Original</member><member>Processed</member></StagesAvailable>",
            escape(&inputs.template)
        ))
    }

    fn find(&self, given: Option<&str>) -> Result<&ChangeSet, Refusal> {
        let given = given.unwrap_or("");
        self.change_sets.iter().find(|known| known.is(given)).ok_or_else(|| not_found("find", given))
    }

    fn create_change_set(&mut self, fields: &Fields, serial: u64, region: &str) -> Answer {
        let name = fields.get("ChangeSetName").cloned().unwrap_or_default();
        if self.change_sets.iter().any(|known| known.name == name) {
            return Err(Refusal(409, "AlreadyExistsException", format!("ChangeSet {name} already exists")));
        }
        let mut inputs = Inputs { template: self.inputs.template.clone(), ..Inputs::default() };
        if let Some(template) = fields.get("TemplateBody") {
            inputs.template.clone_from(template);
        }
        for (key, value, previous) in members(fields, "Parameters", "ParameterKey", "ParameterValue") {
            let value = if previous { self.inputs.parameters.get(&key).cloned().unwrap_or_default() } else { value };
            inputs.parameters.insert(key, value);
        }
        inputs.tags = members(fields, "Tags", "Key", "Value").map(|(key, value, _)| (key, value)).collect();
        inputs.capabilities = (1..).map_while(|n| fields.get(&format!("Capabilities.member.{n}")).cloned()).collect();
        let id = format!("arn:aws:cloudformation:{region}:{ACCOUNT}:changeSet/{name}/{serial:032}");
        let same =
            |a: &Inputs, b: &Inputs| (&a.template, &a.parameters, &a.tags) == (&b.template, &b.parameters, &b.tags);
        let empty = same(&inputs, &self.inputs);
        self.change_sets.push(ChangeSet { id: id.clone(), name, inputs, empty, executed: false });
        Ok(format!("<Id>{id}</Id><StackId>{}</StackId>", self.id))
    }

    /// Starts an update. The change set stays to be read; the stack's others are gone, as AWS has it.
    fn execute(&mut self, given: Option<&str>, token: &str, serial: u64) -> Result<(), Refusal> {
        let busy = self.in_progress();
        let given = given.unwrap_or("");
        let change_set = self.change_sets.iter_mut().find(|known| known.is(given));
        let change_set = change_set.ok_or_else(|| not_found("ExecuteChangeSet", given))?;
        if change_set.executed || change_set.empty || busy {
            let message = format!("ChangeSet [{given}] cannot be executed in its current status");
            return Err(Refusal(400, "InvalidChangeSetStatus", message));
        }
        change_set.executed = true;
        self.inputs = change_set.inputs.clone();
        self.change_sets.retain(|known| known.executed && known.is(given));
        self.executed += 1;
        let ends = Instant::now() + Duration::from_secs_f64(update_seconds(&self.name));
        self.update = Some(Update { began: jiff::Timestamp::now(), ends, token: token.to_owned(), noted: false });
        let number = usize::try_from(serial).unwrap();
        self.events.push(event(&self.name, &self.id, "UPDATE_IN_PROGRESS", token, number));
        Ok(())
    }

    fn list_change_sets(&self) -> String {
        let mut xml = String::from("<Summaries>");
        for known in &self.change_sets {
            let _ = write!(
                xml,
                "<member><StackId>{}</StackId><StackName>{}</StackName><ChangeSetId>{}</ChangeSetId><ChangeSetName>{}\
                 </ChangeSetName><ExecutionStatus>{}</ExecutionStatus><Status>CREATE_COMPLETE</Status></member>",
                self.id,
                self.name,
                known.id,
                known.name,
                known.execution_status()
            );
        }
        xml + "</Summaries>"
    }
}

impl ChangeSet {
    fn is(&self, given: &str) -> bool {
        self.id == given || self.name == given
    }

    fn execution_status(&self) -> &'static str {
        match self {
            Self { empty: true, .. } => "UNAVAILABLE",
            Self { executed: true, .. } => "EXECUTE_COMPLETE",
            _ => "AVAILABLE",
        }
    }

    fn describe(&self, stack: &Stack) -> String {
        let (status, reason, changes) = if self.empty {
            (
                "FAILED",
                "The submitted information didn't contain changes. Submit different information to create a change set.",
                "",
            )
        } else {
            ("CREATE_COMPLETE", "", CHANGE)
        };
        format!(
            "<ChangeSetName>{}</ChangeSetName><ChangeSetId>{}</ChangeSetId><StackId>{}</StackId><StackName>{}</StackName>\
             <Status>{status}</Status><StatusReason>{reason}</StatusReason><ExecutionStatus>{}</ExecutionStatus>\
             <CreationTime>2026-01-01T00:00:00Z</CreationTime><Changes>{changes}</Changes>{}",
            self.name,
            self.id,
            stack.id,
            stack.name,
            self.execution_status(),
            self.inputs.xml()
        )
    }
}

const CHANGE: &str = "<member><Type>Resource</Type><ResourceChange><Action>Modify</Action>\
     <LogicalResourceId>Setting</LogicalResourceId><PhysicalResourceId>setting</PhysicalResourceId>\
     <ResourceType>AWS::SSM::Parameter</ResourceType><Replacement>False</Replacement><Scope><member>Properties</member></Scope>\
     <Details><member><Target><Attribute>Properties</Attribute><Name>Value</Name><RequiresRecreation>Never</RequiresRecreation>\
     </Target><Evaluation>Static</Evaluation><ChangeSource>DirectModification</ChangeSource></member></Details>\
     </ResourceChange></member>";

impl Inputs {
    fn xml(&self) -> String {
        let mut xml = String::from("<Parameters>");
        for (key, value) in &self.parameters {
            let (key, value) = (escape(key), escape(value));
            let _ = write!(
                xml,
                "<member><ParameterKey>{key}</ParameterKey><ParameterValue>{value}</ParameterValue></member>"
            );
        }
        xml.push_str("</Parameters><Tags>");
        for (key, value) in &self.tags {
            let _ = write!(xml, "<member><Key>{}</Key><Value>{}</Value></member>", escape(key), escape(value));
        }
        xml.push_str("</Tags><Capabilities>");
        for capability in &self.capabilities {
            let _ = write!(xml, "<member>{capability}</member>");
        }
        xml + "</Capabilities>"
    }
}

fn event(stack: &str, id: &str, status: &str, token: &str, number: usize) -> String {
    let now = jiff::Timestamp::now();
    format!(
        "<member><StackId>{id}</StackId><EventId>{stack}-{number}-{status}</EventId><StackName>{stack}</StackName>\
         <LogicalResourceId>{stack}</LogicalResourceId><PhysicalResourceId>{id}</PhysicalResourceId>\
         <ResourceType>AWS::CloudFormation::Stack</ResourceType><Timestamp>{now:.3}</Timestamp>\
         <ResourceStatus>{status}</ResourceStatus><ClientRequestToken>{}</ClientRequestToken></member>",
        escape(token)
    )
}

/// The members of a list of names and values; the last part says whether the previous value is to be used.
fn members<'a>(
    fields: &'a Fields,
    list: &'a str,
    name: &'a str,
    value: &'a str,
) -> impl Iterator<Item = (String, String, bool)> + 'a {
    (1..).map_while(move |n| {
        let key = fields.get(&format!("{list}.member.{n}.{name}"))?.clone();
        let content = fields.get(&format!("{list}.member.{n}.{value}")).cloned().unwrap_or_default();
        let previous = fields.get(&format!("{list}.member.{n}.UsePreviousValue")).is_some_and(|flag| flag == "true");
        Some((key, content, previous))
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;")
}
