//! One case: stub and daemon started, a change set proposed and followed to its end, everything measured and judged.

use crate::ideal::{self, Ideal, REFERENCE};
use crate::stub::{TEMPLATE, show_calls};
use crate::{ACCOUNT, AFTER_WAVE_3, Case, MAX_CONCURRENT, REGIONS, STACKS, WAVES, region_of, stack_name};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The limits that the product is held to.
const MAKESPAN_LIMIT: f64 = 1.15;
const CALLS_LIMIT: f64 = 8.0;
const MEMORY_LIMIT_MB: f64 = 60.0;
const CPU_LIMIT: f64 = 3.0;

/// Ends a run that hangs.
const PATIENCE: Duration = Duration::from_secs(600);

/// Seconds a point of the metric. High resolution: with no bake, a gate that wants a point from after the deploy would
/// otherwise wait for a minute that has nothing to do with the rollout.
const PERIOD: u32 = 1;

/// A child that is killed, by its process id, when the run is over.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs one case and prints its table; true when every limit is kept. Panics when the outcome is wrong.
pub fn measure(case: Case) -> bool {
    let home = tempfile::tempdir().unwrap();
    write_inputs(home.path());
    let (_stub, address) = start_stub();
    if case == Case::Reverting {
        control(&address, "break-after-wave-3");
    }
    let (mut daemon, _stdout) = start_daemon(home.path(), &address);
    println!("\n{case:?}: {STACKS} stacks, waves of {WAVES:?}, {MAX_CONCURRENT} at a time");

    let start = Instant::now();
    let mut propose = Ended(wavegate(home.path(), &address, &["propose", "change.yaml", "--wait"]).spawn().unwrap());
    let code = loop {
        if let Some(status) = propose.0.try_wait().unwrap() {
            break status.code();
        }
        if start.elapsed() > PATIENCE || daemon.0.try_wait().unwrap().is_some() {
            panic!("no end after {:?}: {}", start.elapsed(), log(home.path()));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let makespan = start.elapsed().as_secs_f64();
    let (memory, cpu) = usage(daemon.0.id());
    let report = control(&address, "report");

    let (operations, expected_code, expected) = match case {
        Case::Healthy => (STACKS, 0, (0, STACKS)),
        Case::Reverting => (2 * AFTER_WAVE_3, 4, (STACKS, 0)),
    };
    let found = (number(&report["original"]), number(&report["changed"]));
    let executes: Vec<String> = serde_json::from_value(report["executes"].clone()).unwrap();
    let wrong = code != Some(expected_code) || found != expected || executes.len() != operations;
    if wrong {
        panic!(
            "wrong end: exit code {code:?} (not {expected_code}), original and changed {found:?} (not {expected:?}), {} \
             executions (not {operations})\nrefused: {}\n{}",
            executes.len(),
            report["refused"],
            log(home.path())
        );
    }
    let calls: usize = report["calls"].as_object().unwrap().values().map(number).sum();
    let forward = executes.get(..operations.min(STACKS)).unwrap();
    let within = match case {
        Case::Healthy => print(makespan, REFERENCE[0], &ideal::healthy(forward), calls, operations, memory, cpu),
        Case::Reverting => {
            let forward = executes.get(..AFTER_WAVE_3).unwrap();
            print(makespan, REFERENCE[1], &ideal::reverting(forward), calls, operations, memory, cpu)
        }
    };
    println!("  calls: {}", show_calls(&report["calls"]));
    if report["refused"].as_array().is_some_and(|refused| !refused.is_empty()) {
        println!("  refused: {}", report["refused"]);
    }
    within
}

fn print(
    makespan: f64,
    reference: f64,
    ideals: &[Ideal],
    calls: usize,
    operations: usize,
    memory: f64,
    cpu: f64,
) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let per_target = calls as f64 / operations as f64;
    let rows = [
        (
            "makespan, s",
            makespan,
            reference * MAKESPAN_LIMIT,
            format!("{:.2} x the reference {reference} s", makespan / reference),
        ),
        ("calls per operation", per_target, CALLS_LIMIT, format!("{calls} calls, {operations} operations")),
        ("resident at most, MB", memory, MEMORY_LIMIT_MB, "VmHWM of the daemon".to_owned()),
        ("processor, s", cpu, CPU_LIMIT, "user and system time of the daemon".to_owned()),
    ];
    println!("  {:<22} {:>9} {:>9}", "", "measured", "limit");
    for (name, value, limit, note) in &rows {
        let verdict = if value <= limit { "kept" } else { "PASSED" };
        println!("  {name:<22} {value:>9.2} {limit:>9.2}  {verdict:<7} {note}");
    }
    println!("  ideals for these stacks, by list scheduling in the order of execution:");
    for Ideal { seconds, assumes } in ideals {
        println!("  {seconds:>31.2} s  measured is {:.2} x: {assumes}", makespan / seconds);
    }
    rows.iter().all(|(_, value, limit, _)| value <= limit)
}

fn start_stub() -> (Ended, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut stub = Ended(command.arg("stub").stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(stub.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (stub, line.trim().to_owned())
}

fn start_daemon(home: &Path, stub: &str) -> (Ended, BufReader<ChildStdout>) {
    let mut command = wavegate(home, stub, &["serve", "--pipelines", "pipelines"]);
    let log = std::fs::File::create(home.join("serve.log")).unwrap();
    let mut daemon = Ended(command.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
    let mut stdout = BufReader::new(daemon.0.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("wavegate: ready") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "the daemon ended before it was ready: {}", self::log(home));
    }
    (daemon, stdout)
}

fn wavegate(home: &Path, stub: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavegate"));
    command.args(args).arg("--state-dir").arg(home.join("state")).current_dir(home).stdin(Stdio::null());
    command.env("AWS_ENDPOINT_URL", format!("http://{stub}")).env("AWS_REGION", REGIONS[0]);
    command.env("AWS_ACCESS_KEY_ID", ACCOUNT).env("AWS_SECRET_ACCESS_KEY", "stub").env_remove("AWS_SESSION_TOKEN");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.stdout(Stdio::null());
    command
}

fn write_inputs(home: &Path) {
    std::fs::create_dir_all(home.join("pipelines")).unwrap();
    std::fs::create_dir_all(home.join("state")).unwrap();
    std::fs::write(home.join("pipelines/makespan.yaml"), pipeline()).unwrap();
    std::fs::write(home.join("next.yaml"), TEMPLATE.replace("first ${Level}", "second ${Level}")).unwrap();
    let change = "version: 1\nagent: bench\ntitle: Measure\nreasoning: To see how long it takes.\npipeline: makespan\n\
                  stacks:\n  orders:\n    action: update\n    template_file: next.yaml\n";
    std::fs::write(home.join("change.yaml"), change).unwrap();
}

fn pipeline() -> String {
    let mut yaml = String::from("version: 1\nname: makespan\nfleet:\n  cells:\n");
    for number in 0..STACKS {
        let _ = writeln!(
            yaml,
            "    - {{ name: c{number:03}, account: \"{ACCOUNT}\", region: {}, environment: production, traffic_share: 0.25, \
             stacks: {{ orders: {} }} }}",
            region_of(number),
            stack_name(number)
        );
    }
    yaml.push_str("waves:\n");
    for (index, count) in WAVES.iter().enumerate() {
        let last = index + 1 == WAVES.len();
        let select = if last { "remaining: true".to_owned() } else { format!("count: {count}") };
        let one_box = if index == 0 { "one_box: true, " } else { "" };
        let _ = writeln!(
            yaml,
            "  - {{ name: wave-{}, select: {{ {select} }}, {one_box}max_concurrent: {MAX_CONCURRENT}, failure_tolerance: 0, \
             regions: parallel, bake: 0s, bake_datapoints: 0, max_bake: 1m }}",
            index + 1
        );
    }
    let _ = write!(
        yaml,
        "health:\n  interval: 15s\n  settle: 0s\n  lag: 0s\n  metrics:\n    - name: errors\n      namespace: Orders\n      metric: Errors\n      \
         dimensions: {{ Cell: \"{{cell}}\" }}\n      statistic: Average\n      period: {PERIOD}s\n      fail_when: \"> 5\"\n      \
         datapoints_to_alarm: 1\n      evaluation_periods: 1\n      missing_data: hold\n      min_samples: 0\nrevert: {{max_concurrent: 1}}\n"
    );
    yaml
}

/// The most memory that the process held, in MB, and the processor time that it took, in seconds.
fn usage(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The fields after the program's name, which may hold spaces: user and system time are the 12th and 13th of them.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let per_second = Command::new("getconf").arg("CLK_TCK").output().unwrap();
    let per_second: f64 = String::from_utf8_lossy(&per_second.stdout).trim().parse().unwrap_or(100.0);
    (kilobytes / 1024.0, ticks / per_second)
}

fn control(stub: &str, what: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(stub).unwrap();
    write!(stream, "GET /control/{what} HTTP/1.1\r\nhost: stub\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn number(value: &serde_json::Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_default()).unwrap()
}

fn log(home: &Path) -> String {
    let log = std::fs::read_to_string(home.join("serve.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
