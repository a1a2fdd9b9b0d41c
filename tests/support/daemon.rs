//! The built `wavegate` binary: its daemon in a state directory of its own, and its commands.

use super::emulator::{Emulator, end, send_signal};
use super::wait_for;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The binary under test.
pub const WAVEGATE: &str = env!("CARGO_BIN_EXE_wavegate");

/// How long a daemon may take until it says that it is ready: replay, lease and fence included.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub struct CliOutput {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl CliOutput {
    /// The standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Itself, when the exit code is this one; panics with everything printed otherwise.
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A state directory, a pipelines directory, and the daemon in them, which may be running or not.
pub struct Daemon {
    home: tempfile::TempDir,
    env: Vec<(String, String)>,
    serve_args: Vec<String>,
    serve_under: Vec<String>,
    child: Option<Child>,
    /// Held open, and drained, for as long as the daemon lives.
    ready: String,
    starts: usize,
    /// The secret parts of the tokens that were made: none of them may turn up anywhere.
    secrets: Mutex<Vec<String>>,
}

impl Daemon {
    /// Prepares one, not started yet. `pipelines` are file names and texts.
    pub fn prepare(env: Vec<(String, String)>, pipelines: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("state")).unwrap();
        std::fs::create_dir(home.path().join("pipelines")).unwrap();
        let daemon = Self {
            home,
            env,
            serve_args: vec![],
            serve_under: vec![],
            child: None,
            ready: String::new(),
            starts: 0,
            secrets: Mutex::default(),
        };
        for (name, text) in pipelines {
            daemon.write(&format!("pipelines/{name}"), text);
        }
        daemon
    }

    /// Prepares one whose world is the emulator, its own account 111111111111 in us-east-1, and starts it.
    pub fn start(emulator: &Emulator, pipelines: &[(&str, &str)]) -> Self {
        let mut daemon = Self::prepare(emulator.env("111111111111", "us-east-1"), pipelines);
        daemon.run();
        daemon
    }

    /// Sets or replaces a variable of the environment of later starts and commands.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Adds an argument to `serve` for later starts.
    pub fn serve_arg(&mut self, arg: &str) {
        self.serve_args.push(arg.to_owned());
    }

    /// Runs later starts of `serve` under this command, as `strace …`; none: as it is. The command must leave the daemon as this
    /// process's own child.
    pub fn serve_under(&mut self, command: &[String]) {
        self.serve_under = command.to_vec();
    }

    /// The temporary directory with `state`, `pipelines`, and what `write` put there.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.home().join("state")
    }

    /// The kill file: `std::fs::write(daemon.kill_file(), "halt\n")`.
    pub fn kill_file(&self) -> PathBuf {
        self.state_dir().join("KILL")
    }

    /// A bearer token for this principal, in force with the daemon of this state directory. `kind`: agent, human or service.
    pub fn token(&self, name: &str, kind: &str, party: &str, roles: &[&str]) -> String {
        let roles = roles.iter().flat_map(|role| ["--role", role]);
        let words = ["token", "create", name, "--kind", kind, "--party", party].into_iter().chain(roles);
        let token = run_command(self.command(&words.collect::<Vec<_>>())).expect_code(0).stdout.trim().to_owned();
        self.secrets.lock().unwrap().push(token.splitn(3, '_').nth(2).unwrap().to_owned());
        token
    }

    /// INVARIANT: S20. What is shown, logged or kept holds no token that a test has made.
    fn assert_no_secret(&self, what: &str, bytes: &[u8]) {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets.iter() {
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "a token is in {what}");
        }
    }

    /// Everything below `home`: journal, outbox, logs, pages, what commands left. A file that is a token and nothing else is one that the
    /// test made for somebody.
    fn assert_no_secret_kept(&self) {
        let mut folders = vec![self.home().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() => {
                        let bytes = std::fs::read(&path).unwrap_or_default();
                        let text = String::from_utf8_lossy(&bytes);
                        let is_token = text.trim().starts_with("wgt_") && text.split_whitespace().count() == 1;
                        if !is_token {
                            self.assert_no_secret(&path.display().to_string(), &bytes);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Writes a file under `home` (change sets, templates, pipelines); its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts the daemon without waiting for it to be ready.
    pub fn spawn(&mut self) -> Receiver<String> {
        assert!(self.child.is_none(), "the daemon is already running");
        self.starts += 1;
        let log = File::create(self.log_path(self.starts)).unwrap();
        let mut command = self.command_under(&self.serve_under, &["serve"]);
        command.arg("--pipelines").arg(self.home().join("pipelines")).args(&self.serve_args);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        self.child = Some(child);
        let (lines, received) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        received
    }

    /// Starts the daemon and waits for its ready line.
    pub fn run(&mut self) {
        let lines = self.spawn();
        let start = Instant::now();
        loop {
            match lines.recv_timeout(READY_LIMIT.saturating_sub(start.elapsed())) {
                Ok(line) if line.starts_with("wavegate: ready") => {
                    self.ready = line;
                    return;
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("not ready within {READY_LIMIT:?}: {}", self.log()),
                Err(RecvTimeoutError::Disconnected) => panic!("ended before it was ready: {}", self.log()),
            }
        }
    }

    /// The last start's ready line: `wavegate: ready, epoch N, socket PATH`.
    pub fn ready_line(&self) -> &str {
        &self.ready
    }

    /// The epoch of the last start.
    pub fn epoch(&self) -> u64 {
        let epoch = self.ready.split("epoch ").nth(1).and_then(|rest| rest.split(',').next());
        epoch.and_then(|epoch| epoch.trim().parse().ok()).unwrap_or_else(|| panic!("no epoch in {:?}", self.ready))
    }

    /// The process id. Panics when it is not running.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Has it ended by itself?
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    /// Sends a signal, as `USR1`.
    pub fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// `kill -9`, and waits for the end.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to stop and waits for the end.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(limit)
    }

    /// Waits until it ends by itself, or by what a trigger of the proxy did to it.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("the daemon runs");
        wait_for("the daemon ends", limit, || child.try_wait().unwrap())
    }

    /// `kill -9` if it runs, and a new start.
    pub fn restart(&mut self) {
        self.kill9();
        self.run();
    }

    /// What all starts have logged to stderr.
    pub fn log(&self) -> String {
        let logs = (1..=self.starts).map(|start| std::fs::read_to_string(self.log_path(start)).unwrap_or_default());
        logs.collect()
    }

    fn log_path(&self, start: usize) -> PathBuf {
        self.home().join(format!("serve-{start}.log"))
    }

    /// A command of the binary with `--state-dir` and the environment set, ready to be run.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_under(&[], args)
    }

    fn command_under(&self, under: &[String], args: &[&str]) -> Command {
        let mut words = under.iter().map(String::as_str).chain([WAVEGATE]);
        let mut command = Command::new(words.next().unwrap_or(WAVEGATE));
        command.args(words);
        let inherited: Vec<_> = std::env::vars_os().filter(|(name, _)| is_foreign(&name.to_string_lossy())).collect();
        for (name, _) in inherited {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.args(args).arg("--state-dir").arg(self.state_dir()).current_dir(self.home());
        command
    }

    /// Runs a command to its end, `--state-dir` added.
    pub fn cli(&self, args: &[&str]) -> CliOutput {
        self.without_secrets(run_command(self.command(args)))
    }

    fn without_secrets(&self, output: CliOutput) -> CliOutput {
        self.assert_no_secret("a command's output", output.stdout.as_bytes());
        self.assert_no_secret("a command's errors", output.stderr.as_bytes());
        output
    }

    /// Runs a command as whoever has this token.
    pub fn cli_as(&self, token: &str, args: &[&str]) -> CliOutput {
        let mut command = self.command(args);
        command.env("WAVEGATE_TOKEN", token);
        self.without_secrets(run_command(command))
    }

    /// Hands a change set in; the rollout's id.
    pub fn propose(&self, change_set: &Path) -> String {
        let output = self.cli(&["propose", &change_set.to_string_lossy(), "--json"]).expect_code(0);
        output.json()["rollout"].as_str().unwrap_or_else(|| panic!("no rollout in {output:?}")).to_owned()
    }

    /// A rollout's status.
    pub fn status(&self, rollout: &str) -> serde_json::Value {
        self.cli(&["status", rollout, "--json"]).expect_code(0).json()
    }

    /// Waits until the rollout has an outcome; it.
    pub fn wait_outcome(&self, rollout: &str, limit: Duration) -> String {
        let start = Instant::now();
        loop {
            let status = self.status(rollout);
            if let Some(outcome) = status["outcome"].as_str() {
                return outcome.to_owned();
            }
            assert!(start.elapsed() < limit, "no outcome within {limit:?}: {status}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What whoever runs the tests has set for their own work.
fn is_foreign(name: &str) -> bool {
    name.starts_with("AWS_") || name.starts_with("WAVEGATE_")
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        } else {
            self.assert_no_secret_kept();
        }
    }
}

/// Runs any command to its end.
pub fn run_command(mut command: Command) -> CliOutput {
    let output = command.stdin(Stdio::null()).output().unwrap();
    CliOutput {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
