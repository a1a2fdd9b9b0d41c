//! `demo`: the real engine, journal and executor at work over the embedded world. Only the cloud is embedded; time is virtual, and goes
//! as fast as `--speed` says.

mod recreate;
mod scenario;
mod stage;

use super::args::DemoArgs;
use super::call::complain;
use super::draw::say;
use super::exit::Exit;
use scenario::Scenario;
use stage::Stage;

/// `wavegate demo`
pub fn run(args: &DemoArgs) -> Exit {
    let chosen = match &args.scenario {
        None => Scenario::ALL.to_vec(),
        Some(name) => match Scenario::ALL.into_iter().find(|s| s.name() == name) {
            Some(scenario) => vec![scenario],
            None => {
                complain(&format!(
                    "there is no scenario `{name}`; there are `recreate`, `healthy`, `bad-change` and `kill`"
                ));
                return Exit::BadUsage;
            }
        },
    };
    if !(args.speed.is_finite() && args.speed >= 0.0) {
        complain("`--speed` must be 0 or more; 60 shows a minute in a second");
        return Exit::BadUsage;
    }
    match play(args, &chosen) {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Failed,
        Err(message) => {
            complain(&message);
            Exit::Failed
        }
    }
}

/// Plays the scenarios; true when each went as told.
fn play(args: &DemoArgs, chosen: &[Scenario]) -> Result<bool, String> {
    let mut seen = Vec::new();
    if !args.json {
        say::say(
            "Twelve cells of a service in three regions, in an embedded world: no AWS, nothing leaves this machine.",
        );
        say::say(super::draw::LEGEND);
        say::say("");
    }
    for scenario in chosen {
        let ending = Stage::new(args, *scenario)?.play()?;
        if !args.json {
            say::say(&ending.told);
            say::say("");
        }
        seen.push(ending);
    }
    let all = seen.iter().all(|ending| ending.as_told);
    if !args.json {
        say::say(if all { "What you saw:" } else { "NOT everything went as told:" });
        seen.iter()
            .for_each(|ending| say::say(&format!("  {} {}", if ending.as_told { "✓" } else { "✗" }, ending.seen)));
        say::say("");
        say::say("Next: wavegate check pipelines/          the pipelines that ship, checked");
        say::say("      wavegate demo --scenario kill      one scenario alone; --speed and --seed set pace and chance");
        say::say("      wavegate plan CHANGE_SET           against AWS: what a change would do, without doing it");
        say::say("      wavegate serve --help              the daemon, against AWS (README, \"Against AWS\")");
    }
    Ok(all)
}
