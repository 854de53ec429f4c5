//! `cargo xtask`: the one way in to the project's checks and tools. One file per task; what a task needs from outside
//! (Maven, a JDK, a C++ compiler) is named where it is called, and its absence is one clear error.
//!
//! Not here: what the broker or its tools do. Nothing depends on this crate.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod crash;
mod fuzz;
mod golden;
mod interop;
mod jars;
mod process;
mod sim;
mod tidy;
mod wire_check;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's checks and tools")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Checks the layering, ARCHITECTURE.md, file sizes and habits
    Tidy(tidy::Arguments),
    /// Compares the schemas of `wire` with Apache Kafka's message definitions
    WireCheck(wire_check::Arguments),
    /// Crashes the log at every change of a simulated disk, in many random workloads
    Crash(crash::Arguments),
    /// Runs whole clusters under faults, each from one seed
    Sim(sim::Arguments),
    /// Runs the fuzz targets for a bounded time
    Fuzz(fuzz::Arguments),
    /// Resolves Apache Kafka's jars with Maven and prints their folders
    Jars(jars::Arguments),
    /// Writes the wire tests' golden vectors anew, with Kafka's own classes
    Golden(golden::Arguments),
    /// Runs the real clients of `interop/` against a real broker
    Interop(interop::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Tidy(arguments) => tidy::run(&arguments),
        Task::WireCheck(arguments) => wire_check::run(&arguments),
        Task::Crash(arguments) => crash::run(&arguments),
        Task::Sim(arguments) => sim::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Jars(arguments) => jars::run(&arguments),
        Task::Golden(arguments) => golden::run(&arguments),
        Task::Interop(arguments) => interop::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
