//! `demo`: the real engine, journal and executor at work over the embedded world. Only the cloud is embedded; time is virtual, and goes
//! as fast as `--speed` says.

mod scenario;
mod stage;

use super::args::DemoArgs;
use super::call::complain;
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
                complain(&format!("there is no scenario `{name}`; there are `healthy`, `bad-change` and `kill`"));
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
        println!(
            "Twelve cells of a service in three regions, in an embedded world: no AWS, nothing leaves this machine."
        );
        println!("{}\n", super::draw::LEGEND);
    }
    for scenario in chosen {
        let ending = Stage::new(args, *scenario)?.play()?;
        if !args.json {
            println!("{}\n", ending.told);
        }
        seen.push(ending);
    }
    let all = seen.iter().all(|ending| ending.as_told);
    if !args.json {
        println!("{}", if all { "What you saw:" } else { "NOT everything went as told:" });
        seen.iter().for_each(|ending| println!("  {} {}", if ending.as_told { "✓" } else { "✗" }, ending.seen));
        println!("\nNext: wavegate check pipelines/        the pipelines that ship, checked");
        println!("      wavegate demo --scenario kill    one scenario alone; --speed and --seed set pace and chance");
        println!("      wavegate serve --help            the daemon, against AWS (README, \"With AWS\")");
    }
    Ok(all)
}
