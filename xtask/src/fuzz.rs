//! `cargo xtask fuzz`: builds the targets of `fuzz/` with libFuzzer's counters in, and runs each for a bounded time.
//!
//! It takes stable Rust and a C++ compiler, and no `cargo fuzz`: the flags below are those that one passes for a build
//! without sanitizers. New inputs go to `target/fuzz/corpus/`, those that end in a crash to `fuzz/artifacts/`; the seeds in
//! `fuzz/corpus/` are committed and only read.

mod seeds;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::{process, workspace};

/// The targets: the binaries of `fuzz/Cargo.toml`.
const TARGETS: [Target; 3] = [
    Target { name: "requests", max_size: 2048 },
    Target { name: "responses", max_size: 2048 },
    Target { name: "batches", max_size: 16 * 1024 },
];

/// LLVM's coverage counters, which libFuzzer steers by. One codegen unit, since counters of several may collide.
const COVERAGE: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
];

/// No input may take longer, or make the process larger.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=1024"];

struct Target {
    name: &'static str,
    /// The largest input that is tried.
    max_size: usize,
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which targets (requests, responses, batches); all when none is named
    targets: Vec<String>,
    /// How long to run each
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Write the committed seeds anew instead, from the golden vectors of `wire` and from `records`' builder
    #[arg(long)]
    seeds: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = workspace::root()?;
    if arguments.seeds {
        return seeds::write(&root);
    }
    let wanted = arguments.targets.iter().map(|name| {
        let target = TARGETS.iter().find(|target| target.name == name);
        target
            .with_context(|| format!("there is no fuzz target `{name}`: say requests, responses or batches"))
    });
    let mut wanted = wanted.collect::<Result<Vec<_>>>()?;
    if wanted.is_empty() {
        wanted.extend(&TARGETS);
    }
    let built = build(&root)?;
    for target in wanted {
        fuzz(&root, &built, target, arguments.seconds)?;
    }
    Ok(())
}

/// Builds all targets, and gives the folder they are in.
fn build(root: &Path) -> Result<PathBuf> {
    let host = host()?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--release", "--bins", "--manifest-path"])
        .arg(root.join("fuzz/Cargo.toml"))
        // A target that is named keeps the counters out of build scripts and derives, which run at build time.
        .args(["--target", &host, "--target-dir"])
        .arg(root.join("target/fuzz"))
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"));
    process::run(&mut cargo, "build the fuzz targets", "install Rust's cargo and a C++ compiler")?;
    Ok(root.join("target/fuzz").join(host).join("release"))
}

/// The triple of this machine.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run `rustc -vV`")?;
    let text = String::from_utf8(output.stdout).context("`rustc -vV` wrote something that is not UTF-8")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

fn fuzz(root: &Path, built: &Path, target: &Target, seconds: u64) -> Result<()> {
    let name = target.name;
    let found = root.join("target/fuzz/corpus").join(name);
    let seeds = root.join("fuzz/corpus").join(name);
    let artifacts = root.join("fuzz/artifacts").join(name);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let log = root.join("target/fuzz").join(format!("{name}.log"));
    let file = fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let started = Instant::now();
    let status = Command::new(built.join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.max_size))
        // A trailing slash makes it a folder, and not the front of file names.
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .args(LIMITS)
        .args([&found, &seeds])
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run the fuzz target {name}"))?;
    let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    if !status.success() {
        bail!("the fuzz target {name} ended with {status}; see {}:\n{}", log.display(), failure(&text));
    }
    let executed = statistic(&text, "stat::number_of_executed_units:").unwrap_or("?");
    println!("{name}: {executed} inputs in {} s, none of them did harm", started.elapsed().as_secs());
    Ok(())
}

fn statistic<'a>(log: &'a str, name: &str) -> Option<&'a str> {
    log.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// What went wrong, as the target's panic or libFuzzer itself says it, and where the input is.
fn failure(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let panicked = lines.iter().position(|line| line.contains("panicked at"));
    let panic = panicked.map_or(&[][..], |at| &lines[at..lines.len().min(at + 2)]);
    let telling = |line: &&&str| line.contains("ERROR: libFuzzer") || line.contains("Test unit written to");
    let told: Vec<&str> = panic.iter().chain(lines.iter().filter(telling)).copied().collect();
    told.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{failure, statistic};

    #[test]
    fn a_log_tells_how_many_inputs_ran() {
        let log = "#2\tINITED\nstat::number_of_executed_units: 4711\nstat::new_units_added: 3\n";
        assert_eq!(statistic(log, "stat::number_of_executed_units:"), Some("4711"));
        assert_eq!(statistic("", "stat::number_of_executed_units:"), None);
    }

    #[test]
    fn a_failure_is_told_by_its_panic_and_the_place_of_its_input() {
        let log = "INFO: Seed: 1\nthread '<unnamed>' panicked at src/messages.rs:9:5:\nheld 9 bytes, 1 allowed\n\
            stack backtrace:\n  0: core\n==9== ERROR: libFuzzer: deadly signal\nTest unit written to crash-1\n";
        let told = "thread '<unnamed>' panicked at src/messages.rs:9:5:\nheld 9 bytes, 1 allowed\n\
            ==9== ERROR: libFuzzer: deadly signal\nTest unit written to crash-1";
        assert_eq!(failure(log), told);
        assert_eq!(
            failure("==9== ERROR: libFuzzer: out-of-memory\n"),
            "==9== ERROR: libFuzzer: out-of-memory"
        );
    }
}
