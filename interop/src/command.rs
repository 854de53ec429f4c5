//! Running other programs: to their end with all output, or as a child that never outlives its owner.

use std::{
    fs::{self, File},
    io::Write as _,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How often a condition is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(10);

/// How long a broker may take to listen.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Whether `program` is on the search path.
pub(crate) fn is_present(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs to the end and gives standard output; what it wrote to standard error is in the error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` ended with {}: {}", output.status, last_lines(&errors, 8));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Writes `input` to the program's standard input, and gives status, standard output and standard error as they are.
pub(crate) fn exchange(command: &mut Command, input: &[u8], limit: Duration) -> Result<Exchange> {
    let shown = show(command);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Owned(child.with_context(|| format!("cannot run `{shown}`"))?);
    let mut stdin = child.0.stdin.take().context("no standard input")?;
    let stdout = child.0.stdout.take().context("no standard output")?;
    let stderr = child.0.stderr.take().context("no standard error")?;
    thread::scope(|scope| {
        // A program that ends early closes its input; its status tells more than the broken pipe does.
        scope.spawn(move || {
            let _ = stdin.write_all(input);
        });
        let stdout = scope.spawn(move || read_all(stdout));
        let stderr = scope.spawn(move || read_all(stderr));
        let status = child.wait(limit).with_context(|| format!("`{shown}` does not end"));
        // Ends the readers too when the program is still there.
        drop(child);
        let stdout = stdout.join().unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned();
        let status = status.with_context(|| last_lines(&stderr, 8))?;
        Ok(Exchange { success: status.success(), stdout, stderr })
    })
}

/// What a program answered.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) success: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Exchange {
    /// Standard output, of a program that must have succeeded.
    pub(crate) fn ok(self) -> Result<Vec<u8>> {
        if self.success {
            Ok(self.stdout)
        } else {
            bail!("ended with an error: {}", last_lines(&self.told(), 12))
        }
    }

    /// Everything it said, of a program that must have failed.
    pub(crate) fn refused(self) -> Result<String> {
        if self.success {
            bail!("succeeded, but should be refused: {}", self.told())
        } else {
            Ok(self.told())
        }
    }

    /// All that it said, standard error first.
    pub(crate) fn told(&self) -> String {
        format!("{} {}", self.stderr, String::from_utf8_lossy(&self.stdout))
    }
}

/// A child process that is killed when its owner lets go of it.
#[derive(Debug)]
pub(crate) struct Owned(pub(crate) Child);

impl Owned {
    /// Starts `command` with its output in the file `log`, appended.
    pub(crate) fn spawn_logged(command: &mut Command, log: &Path) -> Result<Self> {
        let out = open_log(log)?;
        let err = out.try_clone().context("cannot share the log file")?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        Ok(Self(child.with_context(|| format!("cannot run `{}`", show(command)))?))
    }

    /// Whether it has ended, and how.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>> {
        self.0.try_wait().context("cannot ask for the state of a child process")
    }

    /// Asks it to end (SIGTERM).
    pub(crate) fn terminate(&self) -> Result<()> {
        let pid =
            i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).context("a child without process id")?;
        kill_process(pid, Signal::TERM).context("cannot send SIGTERM")
    }

    /// Ends it without asking (SIGKILL), and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.0.kill().context("cannot send SIGKILL")?;
        self.0.wait().map(|_| ()).context("cannot wait for a child process")
    }

    /// Waits for its end, for at most `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("still running after {limit:?}");
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only when it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `holds` gives something, for at most `limit`.
pub(crate) fn eventually<T>(
    limit: Duration,
    mut holds: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = holds()? {
            return Ok(Some(value));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Waits until a broker that was started accepts connections.
pub(crate) fn until_listening(process: &mut Owned, address: SocketAddr) -> Result<()> {
    let listening = eventually(START_LIMIT, || match process.status()? {
        Some(status) => Ok(Some(Err(status))),
        None => Ok(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok().then_some(Ok(()))),
    })?;
    match listening {
        Some(Ok(())) => Ok(()),
        Some(Err(status)) => bail!("it ended with {status}"),
        None => bail!("nothing listens on {address} after {START_LIMIT:?}"),
    }
}

/// The file `log`, opened to append, with its folder made.
pub(crate) fn open_log(log: &Path) -> Result<File> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let file = File::options().create(true).append(true).open(log);
    file.with_context(|| format!("cannot write {}", log.display()))
}

/// The last `count` lines that are not empty, on one line.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

fn read_all(mut from: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error is still the best there is to show.
    let _ = from.read_to_end(&mut bytes);
    bytes
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
