//! `ottla log recover --dry-run`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use ottla_env::Env;
use ottla_log::inspect::Problem;
use ottla_log::inspect::recover::{Plan, Step, plan, target};
use serde::Serialize;

use crate::output;

/// Arguments of `ottla log recover`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla log recover --dry-run ottla-data            # every partition of a log directory\n  \
    ottla log recover --dry-run ottla-data/orders-0   # one of them\n\n\
    The broker recovers its logs when it starts; this shows what it would do, and changes nothing. A broker that runs on \
    the directory must be stopped before. It exits with 1 when a log is damaged in a way that no start repairs.")]
pub(crate) struct Arguments {
    /// A log directory (one of `log.dirs`) or a partition's directory in one
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Change nothing
    #[arg(long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct JsonPlan {
    was_closed: bool,
    logs: usize,
    steps: Vec<JsonStep>,
    refused: Vec<JsonRefusal>,
}

#[derive(Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
enum JsonStep {
    Cut { file: String, position: u64, offset: Option<i64>, bytes: u64, reason: String },
    Rebuild { file: String },
    Remove { file: String },
}

#[derive(Serialize)]
struct JsonRefusal {
    file: String,
    position: Option<u64>,
    offset: Option<i64>,
    problem: String,
}

/// Shows what a start would do.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if !arguments.dry_run {
        bail!("the broker recovers its logs when it starts; --dry-run shows what it would do");
    }
    let env = Env::real();
    let (dir, only) = target(&*env.disk, &arguments.dir).await?;
    let now_ms = env.clock.wall_ms();
    let plan = plan(&env, &dir, only.as_deref(), now_ms).await?;
    if arguments.json {
        output::say_json(&JsonPlan::of(&plan))?;
    } else {
        print(&plan)?;
    }
    match plan.refused.len() {
        0 => Ok(()),
        count => bail!("{count} logs are damaged where they were durable: no start repairs that"),
    }
}

fn print(plan: &Plan) -> anyhow::Result<()> {
    let before = if plan.was_closed { "was closed in order" } else { "was not closed in order" };
    let logs = plan.logs;
    output::say(format_args!("The directory {before}; a start would open {logs} logs in it"))?;
    for step in &plan.steps {
        match step {
            Step::Cut { path, position, offset, bytes, reason } => {
                let offset = offset.map(|offset| format!(", offset {offset}")).unwrap_or_default();
                let path = path.display();
                output::say(format_args!(
                    "cut {bytes} bytes of {path} from byte {position}{offset} on: {reason}"
                ))?;
            }
            Step::Rebuild(path) => output::say(format_args!("make again {}", path.display()))?,
            Step::Remove(path) => output::say(format_args!("remove {}", path.display()))?,
        }
    }
    if plan.steps.is_empty() {
        output::say("nothing is to be recovered")?;
    }
    for problem in &plan.refused {
        output::say(format_args!("refuse {problem}"))?;
    }
    Ok(())
}

impl JsonPlan {
    fn of(plan: &Plan) -> Self {
        Self {
            was_closed: plan.was_closed,
            logs: plan.logs,
            steps: plan.steps.iter().map(JsonStep::of).collect(),
            refused: plan.refused.iter().map(JsonRefusal::of).collect(),
        }
    }
}

impl JsonStep {
    fn of(step: &Step) -> Self {
        match step {
            Step::Cut { path, position, offset, bytes, reason } => Self::Cut {
                file: path.display().to_string(),
                position: *position,
                offset: offset.map(|offset| offset.0),
                bytes: *bytes,
                reason: reason.clone(),
            },
            Step::Rebuild(path) => Self::Rebuild { file: path.display().to_string() },
            Step::Remove(path) => Self::Remove { file: path.display().to_string() },
        }
    }
}

impl JsonRefusal {
    fn of(problem: &Problem) -> Self {
        Self {
            file: problem.path.display().to_string(),
            position: problem.position,
            offset: problem.offset.map(|offset| offset.0),
            problem: problem.what.clone(),
        }
    }
}
