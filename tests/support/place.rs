//! One account and region of the emulator, as the test itself sees and changes it: past the proxy, unrecorded.
//!
//! MiniStack takes the account from the access key and checks no signature, so that a plain form is enough.

use super::http::{self, Message};
use super::{text, wait_for};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// An operation on a stack of plain resources ends within tenths of a second; two busy cores stretch that.
const OPERATION_LIMIT: Duration = Duration::from_secs(30);

/// One account and region.
#[derive(Clone, Debug)]
pub struct Place {
    to: SocketAddr,
    pub account: String,
    pub region: String,
    session: Option<String>,
}

/// A stack as `DescribeStacks` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackState {
    pub id: String,
    pub status: String,
    pub reason: String,
    pub parameters: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, String>,
    pub capabilities: Vec<String>,
}

/// What a revert must bring back exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub template: String,
    pub parameters: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub capabilities: Vec<String>,
    pub outputs: BTreeMap<String, String>,
}

/// One event of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackEvent {
    pub id: String,
    pub resource: String,
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub token: Option<String>,
    pub at: String,
}

impl Place {
    pub fn new(to: SocketAddr, account: &str, region: &str) -> Self {
        Self { to, account: account.to_owned(), region: region.to_owned(), session: None }
    }

    /// The same with a role's session: `account` is then the session's access key.
    pub fn with_session(self, token: &str) -> Self {
        Self { session: Some(token.to_owned()), ..self }
    }

    /// One call of the query protocol, whatever its outcome.
    pub fn try_call(&self, service: &str, version: &str, action: &str, fields: &[(&str, &str)]) -> Message {
        let mut form = vec![("Action".to_owned(), action.to_owned()), ("Version".to_owned(), version.to_owned())];
        form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.send_form(service, &text::encode_form(&form)).unwrap()
    }

    /// Sends a form as it is; an error when there is no answer.
    pub fn send_form(&self, service: &str, form: &str) -> std::io::Result<Message> {
        let authorization = self.authorization(service);
        let mut headers =
            vec![("authorization", authorization.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        headers.extend(self.session.as_deref().map(|token| ("x-amz-security-token", token)));
        http::send(self.to, "POST", "/", &headers, form.as_bytes())
    }

    /// One call of CloudFormation; the answer's XML. Panics when it is refused.
    pub fn cloudformation(&self, action: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.try_call("cloudformation", "2010-05-15", action, fields);
        assert_eq!(answer.status(), 200, "{action} {fields:?}: {}", answer.text());
        answer.text()
    }

    fn cloudwatch(&self, action: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.try_call("monitoring", "2010-08-01", action, fields);
        assert_eq!(answer.status(), 200, "{action} {fields:?}: {}", answer.text());
        answer.text()
    }

    fn authorization(&self, service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0",
            self.account, self.region
        )
    }

    /// Creates a stack and waits until it is `CREATE_COMPLETE`; its id.
    pub fn create_stack(
        &self,
        name: &str,
        template: &str,
        parameters: &[(&str, &str)],
        tags: &[(&str, &str)],
    ) -> String {
        let mut fields = vec![("StackName", name), ("TemplateBody", template)];
        let parameters = numbered("Parameters", "ParameterKey", "ParameterValue", parameters);
        let tags = numbered("Tags", "Key", "Value", tags);
        fields.extend(borrowed(&parameters));
        fields.extend(borrowed(&tags));
        fields.push(("Capabilities.member.1", "CAPABILITY_NAMED_IAM"));
        self.cloudformation("CreateStack", &fields);
        self.wait_status(name, "CREATE_COMPLETE").id
    }

    /// Updates a stack by hand, keeping every parameter that is not given: what a person does behind a rollout's back.
    pub fn update_stack(&self, name: &str, template: &str, parameters: &[(&str, &str)]) {
        let before = self.stack(name).expect("the stack exists");
        let mut fields = vec![("StackName", name), ("TemplateBody", template)];
        let mut given = numbered("Parameters", "ParameterKey", "ParameterValue", parameters);
        let kept = before.parameters.keys().filter(|key| !parameters.iter().any(|(given, _)| given == key));
        for (index, key) in kept.enumerate() {
            let number = parameters.len() + index + 1;
            given.push((format!("Parameters.member.{number}.ParameterKey"), key.clone()));
            given.push((format!("Parameters.member.{number}.UsePreviousValue"), "true".to_owned()));
        }
        fields.extend(borrowed(&given));
        fields.push(("Capabilities.member.1", "CAPABILITY_NAMED_IAM"));
        self.cloudformation("UpdateStack", &fields);
        self.wait_status(name, "UPDATE_COMPLETE");
    }

    /// A stack by name or ARN; `None` when there is none.
    pub fn stack(&self, name: &str) -> Option<StackState> {
        let answer = self.try_call("cloudformation", "2010-05-15", "DescribeStacks", &[("StackName", name)]);
        let xml = answer.text();
        text::members(&xml, "Stacks").first().map(|stack| StackState {
            id: text::value(stack, "StackId").unwrap_or_default(),
            status: text::value(stack, "StackStatus").unwrap_or_default(),
            reason: text::value(stack, "StackStatusReason").unwrap_or_default(),
            parameters: text::pairs(stack, "Parameters", "ParameterKey", "ParameterValue"),
            tags: text::pairs(stack, "Tags", "Key", "Value"),
            outputs: text::pairs(stack, "Outputs", "OutputKey", "OutputValue"),
            capabilities: text::members(stack, "Capabilities").into_iter().map(str::to_owned).collect(),
        })
    }

    /// Every stack's name and status.
    pub fn stacks(&self) -> BTreeMap<String, String> {
        let xml = self.cloudformation("DescribeStacks", &[]);
        text::pairs(&xml, "Stacks", "StackName", "StackStatus")
    }

    /// Waits until the stack has this status.
    pub fn wait_status(&self, name: &str, status: &str) -> StackState {
        let mut last = None;
        wait_for(&format!("{name} is {status}"), OPERATION_LIMIT, || {
            let stack = self.stack(name)?;
            if last.replace(stack.status.clone()).as_deref() != Some(&stack.status) && stack.status.ends_with("FAILED")
            {
                eprintln!("{name}: {} {}", stack.status, stack.reason);
            }
            (stack.status == status).then_some(stack)
        })
    }

    /// The template's original text.
    pub fn template(&self, name: &str) -> String {
        let xml = self.cloudformation("GetTemplate", &[("StackName", name), ("TemplateStage", "Original")]);
        text::value(&xml, "TemplateBody").expect("a template")
    }

    /// All that a revert must bring back. `NoEcho` values show as `****`: compare what they feed with `parameter`.
    pub fn snapshot(&self, name: &str) -> Snapshot {
        let stack = self.stack(name).unwrap_or_else(|| panic!("stack {name} does not exist"));
        Snapshot {
            template: self.template(name),
            parameters: stack.parameters,
            tags: stack.tags,
            capabilities: stack.capabilities,
            outputs: stack.outputs,
        }
    }

    /// The stack's events, newest first.
    pub fn events(&self, name: &str) -> Vec<StackEvent> {
        let xml = self.cloudformation("DescribeStackEvents", &[("StackName", name)]);
        let read = |event: &str| StackEvent {
            id: text::value(event, "EventId").unwrap_or_default(),
            resource: text::value(event, "LogicalResourceId").unwrap_or_default(),
            kind: text::value(event, "ResourceType").unwrap_or_default(),
            status: text::value(event, "ResourceStatus").unwrap_or_default(),
            reason: text::value(event, "ResourceStatusReason").unwrap_or_default(),
            token: text::value(event, "ClientRequestToken"),
            at: text::value(event, "Timestamp").unwrap_or_default(),
        };
        text::members(&xml, "StackEvents").into_iter().map(read).collect()
    }

    /// The names and statuses of the stack's change sets.
    pub fn change_sets(&self, stack: &str) -> BTreeMap<String, String> {
        let xml = self.cloudformation("ListChangeSets", &[("StackName", stack)]);
        text::pairs(&xml, "Summaries", "ChangeSetName", "ExecutionStatus")
    }

    /// The physical id of one of the stack's resources.
    pub fn physical_id(&self, stack: &str, resource: &str) -> String {
        let fields = [("StackName", stack), ("LogicalResourceId", resource)];
        let xml = self.cloudformation("DescribeStackResource", &fields);
        text::value(&xml, "PhysicalResourceId").expect("a physical id")
    }

    /// Lets the `WaitCondition` on this handle complete (its resource's name in the stack, as `Warm`).
    pub fn signal(&self, stack: &str, handle: &str) {
        let url = self.physical_id(stack, handle);
        let path =
            url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).map(|(_, path)| format!("/{path}"));
        let body = br#"{"Status":"SUCCESS","Reason":"test","UniqueId":"1","Data":"warm"}"#;
        let answer = http::send(self.to, "PUT", &path.expect("a handle's address"), &[], body).unwrap();
        assert!(answer.status() < 300, "signal {url}: {} {}", answer.status(), answer.text());
    }

    /// An SSM parameter's value; `None` when there is none.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let authorization = self.authorization("ssm");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AmazonSSM.GetParameter"),
        ];
        let body = serde_json::json!({ "Name": name, "WithDecryption": true }).to_string();
        let answer = http::send(self.to, "POST", "/", &headers, body.as_bytes()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        json["Parameter"]["Value"].as_str().map(str::to_owned)
    }

    /// Puts one value of a metric, now.
    pub fn put_metric(&self, namespace: &str, metric: &str, dimensions: &[(&str, &str)], value: f64, unit: &str) {
        let value = value.to_string();
        let dimensions = numbered("MetricData.member.1.Dimensions", "Name", "Value", dimensions);
        let mut fields = vec![
            ("Namespace", namespace),
            ("MetricData.member.1.MetricName", metric),
            ("MetricData.member.1.Value", &value),
            ("MetricData.member.1.Unit", unit),
        ];
        fields.extend(borrowed(&dimensions));
        self.cloudwatch("PutMetricData", &fields);
    }

    /// Creates a metric alarm that is OK, on a metric that nobody puts: its state is set by `set_alarm`.
    pub fn create_alarm(&self, name: &str) {
        let fields = [
            ("AlarmName", name),
            ("Namespace", "Test"),
            ("MetricName", "Unused"),
            ("Statistic", "Average"),
            ("Period", "60"),
            ("EvaluationPeriods", "1"),
            ("Threshold", "1"),
            ("ComparisonOperator", "GreaterThanThreshold"),
        ];
        self.cloudwatch("PutMetricAlarm", &fields);
        self.set_alarm(name, "OK");
    }

    /// Sets an alarm to `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub fn set_alarm(&self, name: &str, state: &str) {
        self.cloudwatch("SetAlarmState", &[("AlarmName", name), ("StateValue", state), ("StateReason", "test")]);
    }

    /// Puts an object into a bucket, made if it is not there; the address at which a `TemplateURL` finds it. Buckets are
    /// the account's; they live in us-east-1, as any account's first.
    pub fn put_object(&self, bucket: &str, key: &str, body: &str) -> String {
        let home = Self { region: "us-east-1".to_owned(), ..self.clone() };
        let authorization = home.authorization("s3");
        let headers = [("authorization", authorization.as_str())];
        let path = format!("/{bucket}");
        http::send(self.to, "PUT", &path, &headers, b"").unwrap();
        let path = format!("/{bucket}/{key}");
        let answer = http::send(self.to, "PUT", &path, &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        format!("http://{}{path}", self.to)
    }
}

/// `Name.member.1.Key=…`, `Name.member.1.Value=…` and so on.
fn numbered(list: &str, name: &str, value: &str, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let fields = pairs.iter().enumerate().flat_map(|(index, (key, content))| {
        let member = format!("{list}.member.{}", index + 1);
        [(format!("{member}.{name}"), (*key).to_owned()), (format!("{member}.{value}"), (*content).to_owned())]
    });
    fields.collect()
}

fn borrowed(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
