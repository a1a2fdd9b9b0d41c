//! The judges, asked as the daemon asks them: the thresholds, the comparison, and whose fault a breach is.

use super::{Phase, Replay, window};
use crate::engine::comparison::attribute;
use crate::engine::health::gate::{self, Look, Standing};
use crate::engine::health::threshold::{self, Question};
use crate::engine::health::{Evidence, evidence};
use crate::model::ids::CellId;
use crate::model::pipeline::Cell;
use crate::model::verdict::{Finding, Judgement, Problem, Reading, Verdict};
use jiff::Timestamp;
use std::collections::BTreeSet;

impl Replay<'_> {
    pub(super) fn learn(&mut self) {
        let Some(compare) = &self.setting.health.compare else { return };
        let from = gate::reads_from(&self.setting.health, None, None, self.first).unwrap_or(Timestamp::MIN);
        let cells: Vec<&Cell> = self.cells.values().collect();
        let evidence = window::evidence(self.recording, &self.setting.health, &cells, from, self.first);
        let look = self.look(&evidence, self.first);
        let bakes = self.course.compared(cells.len(), self.last);
        let baseline = gate::learn(&look, compare, &bakes);
        self.baseline = Some(baseline);
    }

    fn look<'b>(&'b self, evidence: &'b Evidence, now: Timestamp) -> Look<'b> {
        let cells = self.cells.values().collect();
        Look { health: &self.setting.health, cells, read: evidence.index(), now }
    }

    /// The thresholds: the waves that have begun to bake as the daemon asks, and each cell that rolls by itself, of which only a fail
    /// counts.
    pub(super) fn thresholds(&self, end: Timestamp, now: Timestamp) -> (Phase, Vec<Finding>, Vec<Reading>) {
        let baking = self.course.baking(end);
        let begun = self.course.begun(end);
        let watched = self.course.changes.iter().filter(|(_, change)| change.wave < begun);
        let cells: Vec<&Cell> = watched.filter_map(|(cell, _)| self.cells.get(cell)).collect();
        let since = baking.map_or(now, |(wave, bake)| self.course.counts_from(wave, bake));
        let planned = baking.map(|(_, bake)| self.course.planned(bake));
        let need = planned.and_then(|wave| self.setting.need_points.get(wave)).copied().unwrap_or(0);
        let of_bake: BTreeSet<&CellId> = baking.map(|(_, bake)| bake.cells.iter().collect()).unwrap_or_default();
        let watched = self.judge(cells, of_bake, since, need, baking.is_none(), now);
        let watched = self.attributed(watched, since, need, baking.is_none(), now);
        let (mut findings, mut readings) = (watched.findings, watched.readings);
        if baking.is_none() {
            findings.retain(|finding| finding.problem.verdict() == Verdict::Fail);
        }
        let mut rolling = false;
        for (cell, change) in self.course.rolling(end) {
            rolling = true;
            let Some(cell) = self.cells.get(cell) else { continue };
            let judged = self.judge(vec![cell], [&cell.name].into(), change.at, 0, false, now);
            let judged = self.attributed(judged, change.at, 0, false, now);
            findings.extend(judged.findings.into_iter().filter(|f| f.problem.verdict() == Verdict::Fail));
            readings.extend(judged.readings);
        }
        let phase = match baking {
            Some((_, bake)) => Phase::Baking(bake.number),
            None if rolling => Phase::Rolling,
            None if begun > 0 => Phase::Between,
            None => Phase::Before,
        };
        (phase, findings, readings)
    }

    /// As the daemon: what most of the untouched cells break too is not laid at the change's door, where they are compared with.
    fn attributed(
        &self,
        judgement: Judgement,
        since: Timestamp,
        need: u32,
        as_of_now: bool,
        now: Timestamp,
    ) -> Judgement {
        let breaks = |finding: &Finding| matches!(finding.problem, Problem::Breach { .. });
        if self.baseline.is_none() || !judgement.findings.iter().any(breaks) {
            return judgement;
        }
        let standing = self.standing(now);
        let untouched = self.cells.values().zip(&standing).filter(|(_, of)| of.touched.is_none() && !of.elsewhere);
        let witnesses: Vec<&Cell> = untouched.map(|(cell, _)| cell).collect();
        let (of, baking) = (witnesses.len(), witnesses.iter().map(|cell| &cell.name).collect());
        attribute(judgement, &self.judge(witnesses, baking, since, need, as_of_now, now), of)
    }

    fn judge(
        &self,
        cells: Vec<&Cell>,
        baking: BTreeSet<&CellId>,
        bake_since: Timestamp,
        need_points: u32,
        as_of_now: bool,
        now: Timestamp,
    ) -> Judgement {
        let health = &self.setting.health;
        // Twice the look-back: what stopped before the bake is told from what was never there.
        let from = window::back(bake_since.min(now), evidence::lookback(health) * 2);
        let evidence = window::evidence(self.recording, health, &cells, from, now);
        let waived = BTreeSet::new();
        threshold::judge(
            &Question { health, cells, baking, bake_since, need_points, as_of_now, waived, now },
            &evidence,
        )
    }

    pub(super) fn compare(&mut self, now: Timestamp) -> Option<Vec<Finding>> {
        let baseline = self.baseline.take()?;
        let mut compared = std::mem::take(&mut self.compared);
        let from = gate::reads_from(&self.setting.health, Some(&baseline), Some(&compared), now).unwrap_or(self.first);
        let cells: Vec<&Cell> = self.cells.values().collect();
        let evidence = window::evidence(self.recording, &self.setting.health, &cells, from, now);
        let standing = self.standing(now);
        let look = self.look(&evidence, now);
        gate::step(&look, &baseline, &standing, &mut compared);
        let mut findings = gate::findings(&baseline, &compared);
        findings.extend(gate::own_past(&look, &baseline, &standing));
        (self.baseline, self.compared) = (Some(baseline), compared);
        Some(findings)
    }

    /// What each cell is, in the baseline's order. Only what has happened by now is known.
    fn standing(&self, now: Timestamp) -> Vec<Standing> {
        let begun: Vec<_> = self.course.changes.iter().filter(|(_, change)| change.at < now).collect();
        let newest = begun.iter().max_by_key(|(_, change)| change.wave);
        let watched = newest.and_then(|(cell, _)| self.cells.get(*cell)).map(|cell| cell.environment.as_str());
        let of = |cell: &Cell| {
            let change = self.course.changes.get(&cell.name).filter(|change| change.at < now);
            let at = change.map(|change| change.at);
            let wave = change.map_or(0, |change| u32::try_from(change.wave).unwrap_or(u32::MAX));
            // A cell that no fleet knows has no environment: it is compared with every other.
            let differs = |of: &str| ![of, &cell.environment].contains(&"") && of != cell.environment;
            Standing { wave, touched: at, changed: at, elsewhere: watched.is_some_and(differs) }
        };
        self.cells.values().map(of).collect()
    }
}
