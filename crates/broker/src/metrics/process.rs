//! What the operating system knows of this process, under the names that Prometheus' own clients use.
//!
//! On other systems than Linux these families stay empty.

use std::fmt;

use super::page::{PLAIN, Page};

/// What is told of the process.
#[derive(Debug, Default, Clone, Copy)]
struct Usage {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: i64,
    open_files: Option<u64>,
    max_files: Option<u64>,
    started_seconds: Option<f64>,
}

#[cfg(target_os = "linux")]
fn usage() -> Option<Usage> {
    use procfs::process::{LimitValue, Process};

    // Somebody may have hidden /proc: then nothing is told.
    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let ticks = procfs::ticks_per_second() as f64;
    let limit = process.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
        LimitValue::Value(value) => Some(value),
        LimitValue::Unlimited => None,
    });
    let booted = procfs::boot_time_secs().ok();
    Some(Usage {
        cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
        resident_bytes: stat.rss * procfs::page_size(),
        virtual_bytes: stat.vsize,
        threads: stat.num_threads,
        open_files: process.fd_count().ok().map(|count| count as u64),
        max_files: limit,
        started_seconds: booted.map(|booted| booted as f64 + stat.starttime as f64 / ticks),
    })
}

#[cfg(not(target_os = "linux"))]
fn usage() -> Option<Usage> {
    None
}

/// Writes the families of the process.
pub(super) fn encode(page: &mut Page<'_>) -> fmt::Result {
    let usage = usage();
    let mut cpu = page.counter("process_cpu_seconds", "Processor time of the process, user and system.")?;
    if let Some(usage) = &usage {
        cpu.add_seconds(usage.cpu_seconds)?;
    }
    let mut gauge = |name, help, value: Option<f64>| {
        let mut gauge = page.gauge(name, help)?;
        value.map_or(Ok(()), |value| gauge.add(PLAIN, value))
    };
    let of = |value: fn(&Usage) -> f64| usage.as_ref().map(value);
    gauge(
        "process_resident_memory_bytes",
        "Memory of the process that is in RAM.",
        of(|usage| usage.resident_bytes as f64),
    )?;
    gauge(
        "process_virtual_memory_bytes",
        "Address space of the process.",
        of(|usage| usage.virtual_bytes as f64),
    )?;
    gauge("process_threads", "Threads of the process.", of(|usage| usage.threads as f64))?;
    gauge(
        "process_open_fds",
        "File descriptors that are open.",
        usage.and_then(|usage| usage.open_files).map(|count| count as f64),
    )?;
    gauge(
        "process_max_fds",
        "File descriptors that may be open.",
        usage.and_then(|usage| usage.max_files).map(|count| count as f64),
    )?;
    gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
        usage.and_then(|usage| usage.started_seconds),
    )
}
