//! On one thread: what is not put aside would stop everything.

use super::*;
use crate::api::service::FoundPipeline;
use crate::api::verbs::{Request, Response};
use crate::cloud::sim::{SimOptions, SimWorld};
use crate::daemon::clock::Clock;
use crate::daemon::core::Core;
use crate::daemon::driver::Driver;
use crate::journal::Journal;
use crate::model::halt::{KillMode, KillScope};
use crate::model::ids::{KillId, RolloutId};
use crate::model::pipeline::Pipeline;
use crate::model::principal::{Door, Principal, Role};
use jiff::Timestamp;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

const START: Timestamp = Timestamp::constant(1_795_219_200, 0);

/// Reads pipelines for as long as the test says; nobody waits for it for ever.
#[derive(Default)]
struct Slow {
    begun: AtomicUsize,
    ended: Mutex<bool>,
    wakes: Condvar,
}

impl Slow {
    fn read(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let ended = self.ended.lock().unwrap();
        drop(self.wakes.wait_timeout_while(ended, Duration::from_secs(10), |ended| !*ended).unwrap());
    }

    fn end(&self) {
        *self.ended.lock().unwrap() = true;
        self.wakes.notify_all();
    }
}

impl Surroundings for Slow {
    fn pipeline(&self, _: &str) -> Result<Pipeline, String> {
        self.read();
        Err("none".into())
    }
    fn pipelines(&self) -> Result<Vec<FoundPipeline>, String> {
        self.read();
        Ok(Vec::new())
    }
    fn check(&self, _: &str, text: &str) -> Vec<String> {
        assert_ne!(text, "broken", "a defect");
        self.read();
        Vec::new()
    }
    fn rollout_id(&self) -> RolloutId {
        "r".into()
    }
    fn kill_id(&self) -> KillId {
        "k".into()
    }
    fn wall(&self) -> Timestamp {
        START
    }
    fn kill_file(&self) -> Option<std::path::PathBuf> {
        None
    }
}

fn service(surroundings: Arc<Slow>) -> (tempfile::TempDir, Arc<Service>) {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&folder.path().join("journal.db")).unwrap();
    journal.take_lead(None, "test").unwrap();
    let clock = Clock::world(START);
    let core = Core::new(journal, "test", None, clock.now()).unwrap();
    let (driver, orders) = Driver::new(core, Arc::new(SimWorld::new(SimOptions::default())), clock, None);
    tokio::spawn(async move { driver.run(&mut |_, _| ()).await });
    (folder, Arc::new(Service::new(orders, surroundings)))
}

fn caller(kind: PrincipalKind) -> Caller {
    let principal = Principal { name: format!("{kind:?}"), kind, party: "p".into(), groups: [].into() };
    let roles = if kind == PrincipalKind::Human { Role::ALL.into() } else { [Role::Proposer, Role::Author].into() };
    Caller { principal, roles, credential: "token t-1".into(), door: Door::Http, named: true }
}

fn ask(service: &Arc<Service>, kind: PrincipalKind, request: Request) -> tokio::task::JoinHandle<Response> {
    let service = Arc::clone(service);
    tokio::spawn(async move { service.answer(&caller(kind), request, None).await.unwrap() })
}

fn propose() -> Request {
    let text = crate::api::mcp::tools::EXAMPLE_TEXT.replace("orders-bot", "Agent");
    let submission = crate::api::verbs::Submission { file: "c.yaml".into(), text, templates: [].into() };
    Request::Propose { submission }
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come");
}

#[tokio::test]
async fn a_kill_waits_for_no_reading() {
    for reading in [
        Request::Pipelines,
        Request::Pipeline { name: "p".into() },
        Request::Check { file: "p.yaml".into(), text: String::new() },
        propose(),
    ] {
        let slow = Arc::new(Slow::default());
        let (_folder, service) = service(Arc::clone(&slow));
        let read = ask(&service, PrincipalKind::Agent, reading.clone());
        until(|| slow.begun.load(Ordering::SeqCst) == 1).await;
        assert!(!read.is_finished(), "{reading:?}");
        let kill = Request::Kill { scope: KillScope::All, mode: KillMode::Halt, reason: String::new() };
        let killed = ask(&service, PrincipalKind::Human, kill).await.unwrap();
        assert!(matches!(killed, Response::Killed(_)), "{killed:?}");
        assert!(!read.is_finished(), "{reading:?}: the kill came when it was read");
        slow.end();
        read.await.unwrap();
    }
}

#[tokio::test]
async fn agents_leave_people_a_place() {
    let slow = Arc::new(Slow::default());
    let (_folder, service) = service(Arc::clone(&slow));
    let agents: Vec<_> = (0..5).map(|_| ask(&service, PrincipalKind::Agent, Request::Pipelines)).collect();
    until(|| slow.begun.load(Ordering::SeqCst) == 1).await;
    let people: Vec<_> = (0..3).map(|_| ask(&service, PrincipalKind::Human, Request::Pipelines)).collect();
    until(|| slow.begun.load(Ordering::SeqCst) == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(slow.begun.load(Ordering::SeqCst), AT_ONCE, "no more are read at once");
    slow.end();
    for asked in agents.into_iter().chain(people) {
        assert!(matches!(asked.await.unwrap(), Response::Pipelines(_)));
    }
}

#[tokio::test]
async fn a_defect_in_it_reaches_whoever_asked_and_keeps_no_place() {
    let slow = Arc::new(Slow::default());
    slow.end();
    let (_folder, service) = service(slow);
    for _ in 0..3 {
        let broken = Request::Check { file: "p.yaml".into(), text: "broken".into() };
        assert!(ask(&service, PrincipalKind::Agent, broken).await.unwrap_err().is_panic());
    }
    assert!(matches!(ask(&service, PrincipalKind::Agent, Request::Pipelines).await.unwrap(), Response::Pipelines(_)));
}
