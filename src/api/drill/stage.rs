//! What a drill is held with: the change, the loop, the person, and how long each part may take.

use crate::api::service::{Surroundings, admit};
use crate::daemon::core::Core;
use crate::daemon::driver::{Orders, Stopped};
use crate::daemon::split::DrillWorld;
use crate::engine::decide::Input;
use crate::engine::planner;
use crate::model::change_set::Admitted;
use crate::model::drill::DrillPlace;
use crate::model::ids::{Digest, RolloutId};
use crate::model::pipeline::{self, Pipeline};
use crate::model::principal::{Caller, HandedIn};
use crate::model::state::Rollout;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The pipeline's text.
pub(super) const PIPELINE: &str = include_str!("pipeline.yaml");
/// The change set's text.
pub(super) const CHANGE_SET: &str = include_str!("change-set.yaml");
/// What the change set names.
const RELEASE_1: &str = include_str!("release-1.yaml");
const RELEASE_2: &str = include_str!("release-2.yaml");
/// Between two looks at the loop: a kill's time is measured this exactly.
const LOOK: Duration = Duration::from_millis(5);

/// The built-in pipeline.
///
/// # Errors
/// It does not check: a defect of this program.
pub fn pipeline() -> Result<Pipeline, String> {
    pipeline::read::read("kill-drill.yaml", PIPELINE.as_bytes()).map_err(|faults| faults.to_string())
}

/// The built-in change set.
///
/// # Errors
/// It does not check: a defect of this program.
pub fn change_set() -> Result<Admitted, String> {
    admit("kill-drill change set", CHANGE_SET, &templates())
}

/// The template that every stack of a drill has at the beginning.
pub fn release_1() -> &'static str {
    RELEASE_1
}

/// The change set's templates, by name.
pub(super) fn templates() -> BTreeMap<String, String> {
    BTreeMap::from([("release-2.yaml".to_owned(), RELEASE_2.to_owned())])
}

/// How long each part may take. What takes longer has failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the proposal until something is in flight.
    pub start: Duration,
    /// From the order to its acknowledgement. It must be on record, and acknowledged or precisely pending, within two seconds (L3).
    pub acknowledge: Duration,
    /// From the order until its mode has done what it must.
    pub outcome: Duration,
    /// So long nothing more may start after that: two looks of the loop at the stacks, and some.
    pub quiet: Duration,
    /// Until everything is put back.
    pub clean_up: Duration,
    /// The whole drill: no check begins after this.
    pub drill: Duration,
}

impl Limits {
    /// Everything here takes seconds: a check is done within a minute at most.
    pub const EMBEDDED: Self = Self {
        start: Duration::from_secs(15),
        acknowledge: Duration::from_secs(10),
        outcome: Duration::from_secs(15),
        quiet: Duration::from_millis(1_800),
        clean_up: Duration::from_secs(15),
        drill: Duration::from_secs(240),
    };
    /// CloudFormation takes minutes.
    pub const SANDBOX: Self = Self {
        start: Duration::from_secs(15 * 60),
        acknowledge: Duration::from_secs(60),
        outcome: Duration::from_secs(30 * 60),
        quiet: Duration::from_secs(10),
        clean_up: Duration::from_secs(30 * 60),
        drill: Duration::from_secs(6 * 3600),
    };
}

/// What a drill is held with.
pub(super) struct Stage {
    pub id: String,
    pub place: DrillPlace,
    pub orders: Orders,
    pub surroundings: Arc<dyn Surroundings>,
    pub caller: Caller,
    pub pipeline: Pipeline,
    pub admitted: Admitted,
    /// None: the cells are real ones, and only the record tells.
    pub world: Option<DrillWorld>,
    pub limits: Limits,
}

/// Why a wait ended without what was waited for.
pub(super) enum Unseen {
    /// It took too long.
    Late,
    /// It cannot come any more, in words.
    Never(String),
    /// The loop has ended.
    Stopped,
}

impl From<Stopped> for Unseen {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Stage {
    /// Proposes the change as the person who drills.
    pub async fn propose(&self, rollout: RolloutId) -> Result<Result<(), String>, Stopped> {
        let planned = planner::plan(&self.admitted, &self.pipeline, rollout, false, self.surroundings.wall());
        let plan = match planned {
            Ok(plan) => plan,
            Err(faults) => return Ok(Err(crate::api::service::plan_errors(&faults))),
        };
        let digest = match plan.digest() {
            Ok(digest) => digest,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let handed_in = HandedIn {
            by: self.caller.principal.clone(),
            credential: self.caller.credential.clone(),
            door: self.caller.door,
            key: None,
            content: Digest::of_bytes(format!("kill drill {}", self.id).as_bytes()),
        };
        let by = self.caller.principal.name.clone();
        let input = Input::Propose { plan: Arc::new(plan), digest, by, handed_in: Some(Box::new(handed_in)) };
        Ok(self.orders.input(input).await?.map_err(|refusal| refusal.to_string()))
    }

    /// Waits until the look gives something; `Err` in it: it never will.
    pub async fn until<T: Send + 'static>(
        &self,
        limit: Duration,
        look: impl Fn(&Core) -> Result<Option<T>, String> + Clone + Send + 'static,
    ) -> Result<T, Unseen> {
        let until = tokio::time::Instant::now() + limit;
        loop {
            match self.orders.look(look.clone()).await? {
                Ok(Some(found)) => return Ok(found),
                Ok(None) if tokio::time::Instant::now() >= until => return Err(Unseen::Late),
                Ok(None) => tokio::time::sleep(LOOK).await,
                Err(why) => return Err(Unseen::Never(why)),
            }
        }
    }

    /// The same of one rollout, which is there.
    pub async fn until_rollout<T: Send + 'static>(
        &self,
        id: &RolloutId,
        limit: Duration,
        look: impl Fn(&Core, &Rollout) -> Result<Option<T>, String> + Clone + Send + 'static,
    ) -> Result<T, Unseen> {
        let id = id.clone();
        let of_it = move |core: &Core| match core.state().rollouts.get(&id) {
            Some(rollout) => look(core, rollout),
            None => Err(format!("rollout `{id}` is not on record")),
        };
        self.until(limit, of_it).await
    }
}
