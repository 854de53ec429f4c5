//! Draws faults, lets them overlap, and repairs each after a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Failing, Fault, heal};
use crate::engine::NodeId;
use crate::net::Quality;
use crate::rng::SimRng;
use crate::world::World;

/// How likely each kind of fault is, beside the others.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    /// [`Fault::Kill`].
    pub kill: u32,
    /// [`Fault::PowerLoss`].
    pub power_loss: u32,
    /// [`Fault::Wipe`], of one machine at most: a second one could be a majority.
    pub wipe: u32,
    /// [`Fault::Pause`].
    pub pause: u32,
    /// [`Fault::Stop`].
    pub stop: u32,
    /// [`Fault::Cut`].
    pub cut: u32,
    /// [`Fault::Partition`].
    pub partition: u32,
    /// [`Fault::Reset`].
    pub reset: u32,
    /// [`Fault::BadLink`].
    pub bad_link: u32,
    /// [`Fault::SlowDisk`].
    pub slow_disk: u32,
    /// [`Fault::ClockJump`].
    pub clock_jump: u32,
    /// [`Fault::BadDisk`].
    pub bad_disk: u32,
}

impl Weights {
    /// Everything but disks that are wiped or fail, processes most of all.
    #[must_use]
    pub fn all() -> Self {
        Self {
            kill: 6,
            power_loss: 4,
            wipe: 0,
            pause: 4,
            stop: 1,
            cut: 3,
            partition: 3,
            reset: 2,
            bad_link: 2,
            slow_disk: 2,
            clock_jump: 1,
            bad_disk: 0,
        }
    }
}

/// Draws faults.
pub struct Nemesis {
    /// Whose processes, machines, disks and clocks fail.
    pub victims: Vec<NodeId>,
    /// Who else is on the network: links between these and the victims fail too.
    pub bystanders: Vec<NodeId>,
    /// Which faults.
    pub weights: Weights,
    /// The time between two faults, at most.
    pub pause: Duration,
    /// How long a fault lasts, at most.
    pub lasting: Duration,
    /// Whether a disk may be lost by now. A majority of a quorum that is being founded is its first voters alone.
    pub may_wipe: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Where the draws come from.
    pub rng: SimRng,
}

impl Nemesis {
    /// Lets faults happen for so long, and then repairs everything.
    pub async fn run(mut self, world: &World, time: Duration) {
        let end_us = world.timeline().now_us() + time.as_micros() as u64;
        let mut struck = JoinSet::new();
        let (over, is_over) = watch::channel(false);
        loop {
            let pause = self.up_to(self.pause);
            if world.timeline().now_us() + pause.as_micros() as u64 >= end_us {
                break;
            }
            world.timeline().sleep(pause).await;
            while struck.try_join_next().is_some() {}
            let Some(fault) = self.draw() else { continue };
            let lasting = self.up_to(self.lasting);
            let (world, mut is_over) = (world.clone(), is_over.clone());
            // A fault belongs to no process.
            struck.spawn(async move {
                fault.strike(&world).await;
                tokio::select! {
                    biased;
                    _ = is_over.wait_for(|over| *over) => {}
                    () = world.timeline().sleep(lasting) => {}
                }
                fault.repair(&world);
            });
        }
        let left_us = end_us.saturating_sub(world.timeline().now_us());
        world.timeline().sleep(Duration::from_micros(left_us)).await;
        over.send_replace(true);
        heal(world, &self.all());
        // A process that was asked to stop may take its time.
        while struck.join_next().await.is_some() {}
        heal(world, &self.all());
    }

    fn all(&self) -> Vec<NodeId> {
        self.victims.iter().chain(&self.bystanders).copied().collect()
    }

    /// Mostly short, now and then as long as it may be.
    fn up_to(&mut self, most: Duration) -> Duration {
        let most_us = most.as_micros() as u64;
        let us = if self.rng.one_in(3) { most_us } else { most_us / 8 };
        Duration::from_micros(self.rng.below(us.max(1)))
    }

    fn victim(&mut self) -> Option<NodeId> {
        let at = self.rng.index(self.victims.len());
        self.victims.get(at).copied()
    }

    /// A victim, and another machine.
    fn pair(&mut self) -> Option<(NodeId, NodeId)> {
        let one = self.victim()?;
        let others: Vec<_> =
            self.victims.iter().chain(&self.bystanders).copied().filter(|other| *other != one).collect();
        let other = *others.get(self.rng.index(others.len()))?;
        Some(if self.rng.one_in(2) { (one, other) } else { (other, one) })
    }

    fn draw(&mut self) -> Option<Fault> {
        let Weights {
            kill,
            power_loss,
            wipe,
            pause,
            stop,
            cut,
            partition,
            reset,
            bad_link,
            slow_disk,
            clock_jump,
            bad_disk,
        } = self.weights;
        let weights = [
            kill, power_loss, wipe, pause, stop, cut, partition, reset, bad_link, slow_disk, clock_jump,
            bad_disk,
        ];
        Some(match self.rng.weighted(&weights) {
            0 => Fault::Kill(self.victim()?),
            1 => Fault::PowerLoss(self.victim()?),
            2 => {
                if !(self.may_wipe)() {
                    return None;
                }
                self.weights.wipe = 0;
                Fault::Wipe(self.victim()?)
            }
            3 => Fault::Pause(self.victim()?),
            4 => Fault::Stop(self.victim()?),
            5 => {
                let (from, to) = self.pair()?;
                Fault::Cut(from, to)
            }
            6 => self.partition(),
            7 => {
                let (one, other) = self.pair()?;
                Fault::Reset(one, other)
            }
            8 => {
                let (one, other) = self.pair()?;
                Fault::BadLink(one, other, self.bad_quality())
            }
            9 => {
                let ms = [5, 50, 500][self.rng.index(3)];
                Fault::SlowDisk(self.victim()?, Duration::from_millis(ms))
            }
            10 => {
                let ahead_ms = self.rng.between(-120_000..120_000);
                Fault::ClockJump(self.victim()?, ahead_ms)
            }
            _ => {
                let failing = [Failing::Reads, Failing::Writes, Failing::Full];
                Fault::BadDisk(self.victim()?, failing[self.rng.index(failing.len())])
            }
        })
    }

    fn partition(&mut self) -> Fault {
        let (mut some, mut others) = (Vec::new(), Vec::new());
        for node in self.victims.iter().chain(&self.bystanders) {
            let side = if self.rng.one_in(2) { &mut some } else { &mut others };
            side.push(*node);
        }
        Fault::Partition(some, others)
    }

    fn bad_quality(&mut self) -> Quality {
        let slow_us = [5_000, 50_000, 400_000][self.rng.index(3)];
        Quality {
            latency_us: slow_us / 2..slow_us,
            loss_per_mille: [0, 20, 200][self.rng.index(3)],
            bytes_per_ms: [None, Some(100), Some(10_000)][self.rng.index(3)],
            ..Quality::local()
        }
    }
}
