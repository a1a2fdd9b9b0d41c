//! How long the guardrails take: a plan of 5,000 targets, judged 1,000 times by all of them.
//!
//! ```text
//! cargo bench --bench guardrails                   both cases, some seconds
//! cargo bench --bench guardrails -- --strict       fails when a median is over 50 ms
//! ```
//!
//! One evaluation is what happens between a plan's last preview and the first call of its first wave: the judgement of the plan
//! (`judge`), what its first wave waits for (`waits`), and the limits of the moment for one target (`at_issue`, with what is in motion
//! counted anew). It runs on one thread, and needs Linux (`/proc`). `fleet` has the pipeline; `previews` has the state.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program: it fails loudly, and it reads the clock"
)]

mod fleet;
mod previews;

use previews::{Case, ROLLOUT, now};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wavegate::engine::guardrail::exposure::{Exposure, LOOK_BACK_MAX};
use wavegate::engine::guardrail::finding::{before, resources_of};
use wavegate::engine::guardrail::{
    autonomy, blast_radius, cost, dependents, drift, environment_order, figures, judge, rate, windows,
};
use wavegate::engine::policy::{self, Policies, Question};
use wavegate::model::class::Autonomy;
use wavegate::model::ids::RolloutId;
use wavegate::model::state::{Rollout, State};

const EVALUATIONS: usize = 1_000;
/// For the share of each guardrail.
const SAMPLES: u32 = 100;
const LIMIT: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    let pipeline = fleet::pipeline();
    let mut kept = true;
    for case in Case::ALL {
        let state = previews::state(&pipeline, case);
        kept &= measure(case, &state);
    }
    if kept || !args.iter().any(|arg| arg == "--strict") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(case: Case, state: &State) -> bool {
    let rollout = &state.rollouts[&RolloutId::new(ROLLOUT)];
    let (targets, resources) = (rollout.targets.len(), rollout.targets.values().map(resources_of).sum::<u32>());
    let judged = judge::judge(state, rollout, now()).unwrap();
    println!(
        "{}: {targets} targets, {resources} resources, {} policies; {:?} ({}), {} findings",
        case.name(),
        fleet::POLICIES.iter().map(|(_, text)| text.matches("@id(").count()).sum::<usize>(),
        judged.decision,
        judged.level,
        judged.found.len()
    );
    let times: Vec<Taken> = (0..EVALUATIONS).map(|_| time(|| evaluate(state, rollout))).collect();
    let on_core = show_times("on the core", times.iter().map(|taken| taken.on_core).collect());
    show_times("by the clock", times.iter().map(|taken| taken.by_clock).collect());
    let verdict = if on_core < LIMIT { "kept" } else { "PASSED" };
    println!("  limit of the median on the core, {} ms: {verdict}", LIMIT.as_millis());
    shares(state, rollout, on_core);
    on_core < LIMIT
}

/// The median.
fn show_times(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let (median, p95, p99) = (millis(at(50)), millis(at(95)), millis(at(99)));
    println!("  one evaluation, {name}: median {median:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms");
    at(50)
}

fn evaluate(state: &State, rollout: &Rollout) {
    black_box(judge::judge(state, rollout, now()).unwrap());
    black_box(judge::waits(state, rollout, 0, now()));
    at_issue(state, rollout);
}

fn at_issue(state: &State, rollout: &Rollout) {
    let exposure = Exposure::of(state, before(now(), LOOK_BACK_MAX));
    let (id, target) = rollout.targets.first_key_value().unwrap();
    black_box(blast_radius::at_issue(&rollout.plan, id, resources_of(target), &exposure, now()));
}

/// Each guardrail by itself, as often as one evaluation asks it. What is left is the digest over plan, previews and findings.
fn shares(state: &State, rollout: &Rollout, median: Duration) {
    let since = before(now(), LOOK_BACK_MAX);
    let safeguards = rollout.plan.safeguards.as_deref().unwrap();
    let exposure = || Exposure::of(state, since);
    let scope = figures::of(rollout, None);
    let compiled = Policies::compile(&safeguards.policies).unwrap();
    let parts: [(&str, &dyn Fn()); 14] = [
        ("policies: compile", &|| drop(black_box(Policies::compile(&safeguards.policies)))),
        ("policies: evaluate", &|| {
            drop(black_box(policy::findings(&compiled, &Question::of(rollout, &scope, Autonomy::OneApproval))));
        }),
        ("autonomy, with what was earned", &|| drop(black_box(autonomy::levels(rollout, state)))),
        ("blast radius: rollout", &|| drop(black_box(blast_radius::rollout(rollout)))),
        ("blast radius: window, twice", &|| {
            drop(black_box(blast_radius::window(rollout, &exposure(), now())));
            drop(black_box(blast_radius::window(rollout, &exposure(), now())));
        }),
        ("blast radius: at issue", &|| at_issue(state, rollout)),
        ("calendar, twice", &|| {
            drop(black_box(windows::findings(safeguards, true, now())));
            drop(black_box(windows::findings(safeguards, true, now())));
        }),
        ("rate", &|| drop(black_box(rate::findings(rollout, state, now())))),
        ("cost", &|| drop(black_box(cost::costs(rollout, now())))),
        ("dependents", &|| drop(black_box(dependents::findings(rollout)))),
        ("drift", &|| drop(black_box(drift::findings(rollout, now())))),
        ("environment order: plan", &|| drop(black_box(environment_order::at_plan(rollout, state)))),
        ("environment order: wave", &|| drop(black_box(environment_order::at_wave(rollout, 0, state)))),
        ("figures", &|| drop(black_box(figures::of(rollout, None)))),
    ];
    let mut sum = Duration::ZERO;
    for (name, part) in parts {
        let each = time(|| (0..SAMPLES).for_each(|_| part())).on_core / SAMPLES;
        sum += each;
        show(name, each, median);
    }
    show("digest, approvers and the rest", median.saturating_sub(sum), median);
}

fn show(name: &str, each: Duration, of: Duration) {
    println!("  {name:<34} {:>7.3} ms {:>4.0} %", millis(each), 100.0 * each.as_secs_f64() / of.as_secs_f64());
}

/// How long something took.
struct Taken {
    /// This thread's own time on a core: others on the machine do not count.
    on_core: Duration,
    by_clock: Duration,
}

fn time(of: impl FnOnce()) -> Taken {
    let (on_core, by_clock) = (on_core(), Instant::now());
    of();
    let by_clock = by_clock.elapsed();
    Taken { on_core: self::on_core().saturating_sub(on_core), by_clock }
}

/// Linux counts it in nanoseconds, and brings it up to date when a thread yields.
fn on_core() -> Duration {
    std::thread::yield_now();
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(counted.split(' ').next().unwrap().parse().unwrap())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
