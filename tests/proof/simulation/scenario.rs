//! What one seed stands for: a fleet, change sets, and everything that goes wrong on the way.

use super::fleet::proposals;
pub use super::fleet::{Kind, REGIONS, START, V1, cell};
use super::guarded;
pub use super::guarded::Act;
use fastrand::Rng;
use std::ops::RangeInclusive;
use std::time::Duration;
use wavegate::cloud::sim::{MetricFault, Outage};
use wavegate::model::halt::KillMode;
use wavegate::model::plan::Plan;

/// One change set on its way.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// When it is handed in.
    pub at: Duration,
    /// What it is.
    pub kind: Kind,
    /// As it was planned.
    pub plan: Plan,
    /// Who hands it in.
    pub by: &'static str,
}

/// How calls travel. Each is a chance, 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Throttling, 5xx, timeouts before and after the effect, late effects, slow answers, stale reads: see `cloud::sim::faults`.
    pub world: f64,
    /// The request goes its own way: it arrives though the daemon is stopped or dead.
    pub detached: f64,
    /// The request is delivered twice.
    pub delivered_twice: f64,
    /// The answer is given to the daemon a second time, later.
    pub answered_twice: f64,
    /// The answer takes its time, and comes after younger ones.
    pub reordered: f64,
    /// A page of a list cannot be read.
    pub partial_page: f64,
    /// A write of the journal goes wrong.
    pub write: f64,
}

/// One thing that happens at one time.
#[derive(Clone, Debug, PartialEq)]
pub enum Disturbance {
    /// A person updates a stack past us.
    Edit(usize),
    /// A person deletes a stack.
    Remove(usize),
    /// A stack stays where it is, for this long.
    Stick(usize, Duration),
    /// Somebody deletes our change sets of a stack.
    Vanish(usize),
    /// Our change sets of a stack are not what they were.
    Alter(usize),
    /// A stack is in a status that nobody knows, for this long.
    UnknownStatus(usize, Duration),
    /// A region fails, for this long.
    Outage(&'static str, Outage, Duration),
    /// Credentials are expired, for this long.
    Expired(Duration),
    /// A cell's metric is not to be trusted, for this long.
    Metric(usize, MetricFault, Duration),
    /// The wall clock of the daemon jumps, by so many milliseconds.
    ClockJump(i64),
    /// The daemon stands still, for this long.
    Stall(Duration),
    /// The daemon dies; it is started again after this long.
    Crash(Duration),
    /// A person pushes the kill switch.
    Kill(KillMode, Option<usize>),
    /// A person puts the kill file there, for this long.
    KillFile(KillMode, Duration),
    /// Two people lift every kill.
    Lift,
    /// A person pauses a rollout.
    Pause,
    /// A person lets every held rollout go on.
    Resume,
    /// A person sends a rollout back.
    Revert,
    /// Somebody answers what the n-th change set asks.
    Says(usize, Act),
}

impl Disturbance {
    /// Its name in the report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Edit(_) => "person's edit",
            Self::Remove(_) => "stack deleted by a person",
            Self::Stick(..) => "in progress for ever",
            Self::Vanish(_) => "change set vanished",
            Self::Alter(_) => "change set altered",
            Self::UnknownStatus(..) => "unknown status",
            Self::Outage(_, Outage::Unreachable, _) => "region unreachable",
            Self::Outage(_, Outage::Silent, _) => "region silent",
            Self::Expired(_) => "credentials expired",
            Self::Metric(_, fault, _) => metric_name(*fault),
            Self::ClockJump(_) => "clock jump",
            Self::Stall(_) => "daemon stalled",
            Self::Crash(_) => "crash",
            Self::Kill(..) => "kill",
            Self::KillFile(..) => "kill file",
            Self::Lift => "kills lifted",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Revert => "revert asked for",
            Self::Says(_, act) => act.name(),
        }
    }
}

fn metric_name(fault: MetricFault) -> &'static str {
    match fault {
        MetricFault::MissingFrom(_) => "metric missing",
        MetricFault::NotANumber => "metric NaN",
        MetricFault::FutureDated(_) => "metric future-dated",
        MetricFault::Partial => "metric partial",
        MetricFault::Forbidden => "metric forbidden",
        MetricFault::InternalError => "metric internal error",
        MetricFault::Late(_) => "metric late",
        MetricFault::WrongUnit => "metric wrong unit",
        MetricFault::Flapping => "metric flapping",
        MetricFault::Huge => "metric huge",
    }
}

/// When something happens: at a time, or right after a record that makes it interesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after the start.
    At(Duration),
    /// As soon as the n-th intent to change a target is durable: its call is on its way.
    AfterIntent(u32),
    /// As soon as health has been judged for the n-th time.
    AfterLook(u32),
    /// So long after the n-th change set asked people for the first time.
    Asked(usize, Duration),
}

/// What a seed looks for. Uniform chance hardly ever meets the rare orders of events; each theme makes some of them common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Nothing goes wrong.
    Calm,
    /// Everything may.
    Anything,
    /// Calls arrive late, just when the daemon dies, stands still or is told to stop.
    Late,
    /// The kill file appears between a decision and its call.
    KillFile,
    /// A budget that hardly suffices.
    Scarce,
    /// The daemon stands still while it should watch.
    Asleep,
    /// Nothing goes wrong but people: change sets ask, and whoever must not answers too.
    Guarded,
    /// Nothing goes wrong, and several change sets share narrow limits.
    Crowded,
}

impl Theme {
    fn of(seed: u64) -> Self {
        match seed % 16 {
            1 => Self::Crowded,
            9 => Self::Guarded,
            0 => Self::Calm,
            2..=4 => Self::Late,
            5 => Self::KillFile,
            6 => Self::Scarce,
            7 => Self::Asleep,
            _ => Self::Anything,
        }
    }
}

/// Everything that one seed stands for.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// How many cells the fleet has.
    pub cells: usize,
    /// Change sets, in the order of their times.
    pub proposals: Vec<Proposal>,
    /// What it looks for.
    pub theme: Theme,
    /// What happens.
    pub disturbances: Vec<(When, Disturbance)>,
    /// So many executions, and so many deletions of change sets, meet a fault of their own.
    pub late_calls: (u32, u32),
    /// How calls travel.
    pub rates: Rates,
    /// A second daemon stands by.
    pub standby: bool,
    /// The daemon heeds a kill file.
    pub kill_file: bool,
    /// Calls at once and per second.
    pub budget: (u32, f64),
    /// How long an operation takes.
    pub update_duration: RangeInclusive<Duration>,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5741_5645_4741_5445);
        let cells = rng.usize(2..=6);
        let theme = Theme::of(seed);
        let quick = rng.bool();
        let mut scenario = Self {
            seed,
            cells,
            proposals: proposals(&mut rng, cells),
            theme,
            disturbances: Vec::new(),
            late_calls: (0, 0),
            rates: Rates::default(),
            standby: false,
            kill_file: false,
            budget: if rng.u8(0..4) == 0 { (12, 8.0) } else { (400, 25.0) },
            update_duration: if quick { ms(100)..=ms(900) } else { ms(4_000)..=ms(9_000) },
        };
        match theme {
            Theme::Calm | Theme::Guarded | Theme::Crowded => {}
            Theme::Anything => scenario.disturb(&mut rng),
            Theme::Late => scenario.be_late(&mut rng),
            Theme::KillFile => scenario.put_kill_file(&mut rng),
            Theme::Scarce => {
                scenario.disturb(&mut rng);
                scenario.budget = (5, 2.5);
            }
            Theme::Asleep => {
                let nap = Disturbance::Stall(ms(rng.u64(60_000..400_000)));
                scenario.disturbances.push((When::AfterLook(rng.u32(1..=5)), nap));
            }
        }
        guarded::add(&mut scenario);
        scenario
    }

    /// True when nothing at all goes wrong.
    pub fn is_calm(&self) -> bool {
        matches!(self.theme, Theme::Calm | Theme::Guarded | Theme::Crowded)
    }

    fn disturb(&mut self, rng: &mut Rng) {
        let rate = |rng: &mut Rng, high: f64| if rng.bool() { rng.f64() * high } else { 0.0 };
        self.rates = Rates {
            world: 0.001 + rate(rng, 0.08),
            detached: rate(rng, 0.5),
            delivered_twice: rate(rng, 0.05),
            answered_twice: rate(rng, 0.1),
            reordered: rate(rng, 0.1),
            partial_page: rate(rng, 0.03),
            write: if rng.u8(0..3) == 0 { rng.f64() * 0.05 } else { 0.0 },
        };
        self.standby = rng.u8(0..3) == 0;
        self.kill_file = rng.u8(0..6) == 0;
        let number = rng.usize(0..=5);
        let span = 150 + 150 * self.proposals.len() as u64;
        for _ in 0..number {
            let at = ms(rng.u64(0..span * 1000));
            let disturbance = disturbance(rng, self.cells, self.kill_file);
            self.disturbances.push((When::At(at), disturbance));
        }
    }

    fn be_late(&mut self, rng: &mut Rng) {
        use Disturbance as D;
        self.rates = Rates { world: 0.001, detached: 0.5, answered_twice: 0.02, ..Rates::default() };
        self.late_calls = (rng.u32(1..=3), rng.u32(0..=4));
        self.standby = rng.bool();
        let mode = *rng.choice(&[KillMode::Pause, KillMode::Halt, KillMode::Revert]).unwrap();
        let what = match rng.u8(0..10) {
            0..3 => D::Kill(mode, None),
            3..8 if self.standby => D::Stall(ms(rng.u64(12_000..60_000))),
            3..6 => D::Crash(ms(rng.u64(0..3_000))),
            6..9 => D::Revert,
            _ => D::Pause,
        };
        self.disturbances.push((When::AfterIntent(rng.u32(1..=4)), what));
        for proposal in &mut self.proposals {
            proposal.plan.waves.iter_mut().for_each(|wave| wave.max_concurrent = 3);
        }
    }

    fn put_kill_file(&mut self, rng: &mut Rng) {
        self.kill_file = true;
        let mode = *rng.choice(&[KillMode::Pause, KillMode::Halt, KillMode::Revert]).unwrap();
        let what = Disturbance::KillFile(mode, ms(rng.u64(1_000..60_000)));
        self.disturbances.push((When::AfterIntent(rng.u32(1..=3)), what));
        for proposal in &mut self.proposals {
            proposal.plan.waves.iter_mut().for_each(|wave| wave.max_concurrent = 3);
        }
    }
}

/// So many milliseconds.
pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn disturbance(rng: &mut Rng, cells: usize, kill_file: bool) -> Disturbance {
    use Disturbance as D;
    let cell = rng.usize(0..cells);
    let short = ms(rng.u64(2_000..40_000));
    let long = ms(rng.u64(20_000..1_500_000));
    let mode = *rng.choice(&[KillMode::Pause, KillMode::Halt, KillMode::Revert]).unwrap();
    match rng.u8(0..100) {
        0..10 => D::Edit(cell),
        10..13 => D::Remove(cell),
        13..17 => D::Stick(cell, long),
        17..21 => D::Vanish(cell),
        21..24 => D::Alter(cell),
        24..27 => D::UnknownStatus(cell, short),
        27..31 => D::Outage(REGIONS[rng.usize(0..3)], Outage::Unreachable, long),
        31..34 => D::Outage(REGIONS[rng.usize(0..3)], Outage::Silent, short),
        34..38 => D::Expired(long),
        38..54 => D::Metric(cell, metric_fault(rng), ms(rng.u64(10_000..600_000))),
        54..58 => {
            D::ClockJump(*rng.choice(&[3_600_000, -3_600_000, 31_536_000_000, -31_536_000_000, 90_000, -500]).unwrap())
        }
        58..63 => D::Stall(if rng.bool() { short } else { ms(rng.u64(11_000..120_000)) }),
        63..79 => D::Crash(ms(rng.u64(0..20_000))),
        79..87 => D::Kill(mode, rng.bool().then_some(cell)),
        87..89 if kill_file => D::KillFile(mode, long),
        89..91 => D::Lift,
        91..94 => D::Pause,
        94..97 => D::Resume,
        _ => D::Revert,
    }
}

fn metric_fault(rng: &mut Rng) -> MetricFault {
    match rng.u8(0..10) {
        // The time is set when the fault begins.
        0 => MetricFault::MissingFrom(jiff::Timestamp::UNIX_EPOCH),
        1 => MetricFault::NotANumber,
        2 => MetricFault::FutureDated(ms(rng.u64(10_000..86_400_000))),
        3 => MetricFault::Partial,
        4 => MetricFault::Forbidden,
        5 => MetricFault::InternalError,
        6 => MetricFault::Late(ms(rng.u64(60_000..900_000))),
        7 => MetricFault::WrongUnit,
        8 => MetricFault::Flapping,
        _ => MetricFault::Huge,
    }
}
