//! `cargo xtask interop`: hands its arguments to the crate `interop/`, which knows the clients.

use std::{ffi::OsString, process::Command};

use anyhow::Result;

use crate::{process, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What `ottla-interop` is given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace::root()?).args(["run", "--quiet", "--package", "ottla-interop", "--"]);
    process::run(command.args(&arguments.arguments), "run the interop suite", "install Rust's cargo")
}
