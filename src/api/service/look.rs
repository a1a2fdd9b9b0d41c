//! Verbs that only look.

use super::{FaultyFile, Service, Surroundings, refused};
use crate::api::code::Code;
use crate::api::listing::{self, Page, PipelineSummary};
use crate::api::verbs::{DrillsView, Request, Response};
use crate::api::view::{self, StatusView};
use crate::daemon::core::Core;
use crate::daemon::driver::Stopped;
use crate::engine::decide::Refusal;
use crate::model::ids::{KillId, RolloutId, Seq};
use crate::model::principal::Caller;
use crate::model::state::Rollout;
use std::collections::BTreeSet;

impl Service {
    pub(super) async fn look(&self, caller: &Caller, request: Request) -> Result<Response, Stopped> {
        match request {
            Request::Status { rollout, full } => self.status(rollout, full).await,
            Request::Rollouts { open, after, limit } => self.rollouts(open, after, limit).await,
            Request::Plan { rollout } => {
                self.of_rollout(rollout, |core, rollout| {
                    let _ = core;
                    Response::Plan(Box::new(listing::plan(rollout)))
                })
                .await
            }
            Request::Findings { rollout, after, limit } => self.findings(rollout, after, limit).await,
            Request::Kills { after, limit } => self.kills(after, limit).await,
            Request::Approvals => self.approvals().await,
            Request::Explain { rollout } => self.explain(rollout).await,
            Request::Pipelines => self.aside(caller, pipelines).await,
            Request::Pipeline { name } => {
                let read = move |surroundings: &dyn Surroundings| match surroundings.pipeline(&name) {
                    Ok(pipeline) => Response::Pipeline(Box::new(listing::pipeline(&pipeline))),
                    Err(message) => Response::Refused { code: Code::UnknownPipeline, message },
                };
                self.aside(caller, read).await
            }
            Request::Check { file, text } => {
                let faults = self.aside(caller, move |surroundings| surroundings.check(&file, &text)).await?;
                Ok(Response::Checked { faults })
            }
            Request::Audit { after, limit } => self.audit(after, limit).await,
            Request::Drills => {
                let Some(drills) = &self.drills else {
                    let items = self.orders.look(|core| core.state().drills.iter().rev().cloned().collect()).await?;
                    return Ok(Response::Drills(DrillsView { running: None, items, next: None }));
                };
                Ok(Response::Drills(drills.view().await?))
            }
            Request::Me => Ok(Response::Me(listing::caller(caller))),
            Request::Version => Ok(Response::Version { version: env!("CARGO_PKG_VERSION").into() }),
            // The other verbs do something, and have been taken.
            _ => Ok(Response::BadInput { message: "this verb does not look".into() }),
        }
    }

    async fn of_rollout(
        &self,
        id: RolloutId,
        show: impl FnOnce(&Core, &Rollout) -> Response + Send + 'static,
    ) -> Result<Response, Stopped> {
        let wanted = id.clone();
        let shown = self.orders.look(move |core| core.state().rollouts.get(&wanted).map(|r| show(core, r))).await?;
        Ok(shown.unwrap_or_else(|| refused(&Refusal::UnknownRollout(id))))
    }

    async fn status(&self, only: Option<RolloutId>, full: bool) -> Result<Response, Stopped> {
        let named = only.clone();
        let view = self.orders.look(move |core| view::status(core, only.as_ref(), full)).await?;
        match named {
            Some(id) if view.rollouts.is_empty() => Ok(refused(&Refusal::UnknownRollout(id))),
            _ => Ok(Response::Status(StatusView { deliveries: self.surroundings.deliveries(), ..view })),
        }
    }

    async fn rollouts(&self, open: Option<bool>, after: Option<RolloutId>, limit: usize) -> Result<Response, Stopped> {
        let page = move |core: &Core| {
            let state = core.state();
            // Names are ordered by time: the newest one is the last one.
            let older = state.rollouts.values().rev().filter(|r| after.as_ref().is_none_or(|a| r.plan.rollout < *a));
            let wanted = older.filter(|r| open.is_none_or(|open| r.is_ended() != open));
            Page::of(wanted.map(|r| listing::summary(state, r)), limit, |line| line.rollout.to_string())
        };
        Ok(Response::Rollouts(self.orders.look(page).await?))
    }

    async fn findings(&self, only: Option<RolloutId>, after: usize, limit: usize) -> Result<Response, Stopped> {
        if let Some(id) = only.clone() {
            let known = self.orders.look(move |core| core.state().rollouts.contains_key(&id)).await?;
            if let (false, Some(id)) = (known, &only) {
                return Ok(refused(&Refusal::UnknownRollout(id.clone())));
            }
        }
        let page = move |core: &Core| {
            let of = |r: &&Rollout| match &only {
                Some(id) => r.plan.rollout == *id,
                None => !r.is_ended(),
            };
            let found = core.state().rollouts.values().filter(of).flat_map(listing::findings);
            let numbered: Vec<_> = found.enumerate().skip(after).take(limit.saturating_add(1)).collect();
            let page = Page::of(numbered.into_iter(), limit, |(nth, _)| (nth + 1).to_string());
            Page { items: page.items.into_iter().map(|(_, found)| found).collect(), next: page.next }
        };
        Ok(Response::Findings(self.orders.look(page).await?))
    }

    async fn kills(&self, after: Option<KillId>, limit: usize) -> Result<Response, Stopped> {
        let page = move |core: &Core| {
            let state = core.state();
            let mut kills: Vec<_> = state.kills.values().collect();
            kills.sort_by(|a, b| (b.kill.at, &b.kill.id).cmp(&(a.kill.at, &a.kill.id)));
            let from = after.as_ref().map_or(0, |id| kills.iter().position(|k| k.kill.id == *id).map_or(0, |n| n + 1));
            Page::of(kills.into_iter().skip(from).map(|k| view::kill(state, k)), limit, |k| k.kill.to_string())
        };
        Ok(Response::Kills(self.orders.look(page).await?))
    }

    async fn approvals(&self) -> Result<Response, Stopped> {
        let asks = |rollout: &&Rollout| {
            let admission = &rollout.admission;
            let request = admission.judged.as_ref().and_then(|judged| judged.request.as_ref());
            let may = rollout.revert.is_none() && admission.rejected.is_none() && !rollout.plan.look_only;
            may && request.is_some_and(|request| !admission.covers(request.through_wave))
        };
        let views = move |core: &Core| {
            core.state().open_rollouts().filter(asks).map(|rollout| view::rollout(core, rollout, true)).collect()
        };
        Ok(Response::Approvals { rollouts: self.orders.look(views).await? })
    }

    async fn explain(&self, id: RolloutId) -> Result<Response, Stopped> {
        let (wanted, at) = (id.clone(), self.surroundings.wall());
        let explained = self.orders.look(move |core| view::explain(core, &wanted, at)).await?;
        Ok(match explained {
            Some(explained) => Response::Explained(Box::new(explained)),
            None => refused(&Refusal::UnknownRollout(id)),
        })
    }

    async fn audit(&self, after: u64, limit: usize) -> Result<Response, Stopped> {
        let read = move |core: &Core| core.journal().entries_after(Seq(after), limit.saturating_add(1));
        Ok(match self.orders.look(read).await? {
            Ok(entries) => {
                let page = Page::of(entries.iter().map(listing::entry), limit, |entry| entry.seq.to_string());
                Response::Audit(page)
            }
            Err(error) => Response::Refused { code: Code::Internal, message: error.to_string() },
        })
    }
}

fn pipelines(surroundings: &dyn Surroundings) -> Response {
    match surroundings.pipelines() {
        Ok(found) => Response::Pipelines(Page::whole(
            found
                .iter()
                .map(|pipeline| match pipeline {
                    Ok(pipeline) => listing::pipeline_summary(pipeline),
                    Err(FaultyFile { name, fault }) => PipelineSummary {
                        name: name.clone(),
                        waves: Vec::new(),
                        cells: 0,
                        stacks: BTreeSet::new(),
                        fault: Some(fault.clone()),
                    },
                })
                .collect(),
        )),
        Err(message) => Response::Refused { code: Code::UnknownPipeline, message },
    }
}
