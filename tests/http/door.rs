//! A daemon with its HTTP door open, and somebody who may do everything.
#![allow(dead_code, reason = "each test uses a part of this module")]

use crate::support::Daemon;
use crate::support::http::{self, Message};
use serde_json::{Value, json};
use std::net::SocketAddr;

pub const PIPELINE: &str = "version: 1
name: test
fleet:
  cells:
    - {name: a, account: \"111111111111\", region: eu-west-1, environment: production, role: \"arn:aws:iam::111111111111:role/w\", stacks: {orders: orders-a}}
    - {name: b, account: \"111111111111\", region: us-east-1, environment: production, role: \"arn:aws:iam::111111111111:role/w\", stacks: {orders: orders-b}}
waves:
  - {name: first, select: {count: 1}, bake: 1s, max_bake: 10m}
  - {name: rest, select: {count: 1}, bake: 1s, max_bake: 10m}
health:
  interval: 1s
  lag: 0s
  metrics:
    - {name: errors, namespace: Orders, metric: Errors, dimensions: {Cell: \"{cell}\"}, statistic: Average, period: 1s, fail_when: \"> 5\", datapoints_to_alarm: 2, evaluation_periods: 3, missing_data: not_breaching}
";

const TEMPLATE: &str = "Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 60
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
";

/// A change set of that title, as a request's body.
pub fn submission(title: &str) -> String {
    let text = format!(
        "version: 1\nagent: test-agent\ntitle: {title}\nreasoning: It is a test.\npipeline: test\nstacks:\n  orders:\n    action: update\n    template_file: orders.yaml\n"
    );
    json!({ "file": "change.yaml", "text": text, "templates": { "orders.yaml": TEMPLATE } }).to_string()
}

pub fn body(answer: &Message) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

pub struct Door {
    pub daemon: Daemon,
    pub address: SocketAddr,
    /// `Bearer …` of a person with every role.
    pub bearer: String,
}

impl Door {
    pub fn open() -> Self {
        Self::with("http: {listen: 127.0.0.1:0}")
    }

    pub fn with(http: &str) -> Self {
        let mut door = Self::prepare(http);
        door.run();
        door
    }

    pub fn prepare(http: &str) -> Self {
        let mut daemon = Daemon::prepare(vec![], &[("test.yaml", PIPELINE)]);
        let config = daemon.write("wavegate.yaml", &format!("version: 1\n{http}\n"));
        for arg in ["--embedded", "--config", config.to_str().unwrap()] {
            daemon.serve_arg(arg);
        }
        let roles = ["proposer", "author", "approver", "operator", "auditor"];
        let bearer = format!("Bearer {}", daemon.token("ana", "human", "ops", &roles));
        Self { daemon, address: ([127, 0, 0, 1], 0).into(), bearer }
    }

    pub fn run(&mut self) {
        self.daemon.run();
        self.find();
    }

    pub fn restart(&mut self) {
        self.daemon.restart();
        self.find();
    }

    /// The port is another one after each start.
    fn find(&mut self) {
        let url = self.daemon.ready_line().split(", http ").nth(1).expect("the ready line names the door");
        self.address = url.split("://").nth(1).unwrap().trim().parse().unwrap();
    }

    pub fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Message {
        http::send(self.address, method, path, headers, body).unwrap()
    }

    pub fn to_host(&self, host: &str, headers: &[(&str, &str)]) -> Message {
        let mut message = Message { start: "GET /v1/me HTTP/1.1".into(), headers: vec![], body: vec![] };
        message.headers.push(("host".into(), host.into()));
        message.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        http::exchange(self.address, &message).unwrap()
    }

    pub fn call(&self, method: &str, path: &str) -> Message {
        self.raw(method, path, &[("authorization", &self.bearer)], b"")
    }

    pub fn get(&self, path: &str) -> Message {
        self.call("GET", path)
    }

    pub fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        body(&answer)
    }

    pub fn order(&self, path: &str, body: &str) -> Message {
        self.order_as(path, body, None)
    }

    pub fn order_as(&self, path: &str, body: &str, key: Option<&str>) -> Message {
        let mut headers = vec![("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.raw("POST", path, &headers, body.as_bytes())
    }

    /// The whole record, page by page.
    pub fn audit(&self) -> Vec<Value> {
        let mut records = Vec::new();
        let mut after = "0".to_owned();
        loop {
            let page = self.json(&format!("/v1/audit?limit=7&after={after}"));
            records.extend(page["items"].as_array().unwrap().clone());
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => return records,
            }
        }
    }
}
