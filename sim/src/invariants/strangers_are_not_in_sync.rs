//! Invariant 8, in part: a broker that registers anew is in no ISR, and one that may have lost the ends of its logs is in
//! no ELR either (KIP-966): nobody may count on what it held.

use ottla_metadata::record::LastRun;
use ottla_metadata::{Image, Record};

use super::Violation;

const NAME: &str = "strangers_are_not_in_sync";

/// Checks a record that registers a broker, with the metadata before and after it.
///
/// # Errors
/// The violation.
pub fn check(offset: i64, record: &Record, before: &Image, after: &Image) -> Result<(), Violation> {
    let Record::RegisterBroker(registered) = record else { return Ok(()) };
    let id = registered.id;
    // The same run says more of itself.
    if before.broker(id).is_some_and(|known| known.registration.epoch == registered.epoch) {
        return Ok(());
    }
    let is_whole = matches!(registered.last_run, LastRun::Clean(_) | LastRun::ProcessCrash(_));
    for topic in after.topics() {
        for (index, state) in topic.partitions() {
            let place = match () {
                () if state.isr.contains(&id) => "ISR",
                () if state.elr.contains(&id) && !is_whole => "ELR",
                () => continue,
            };
            let (name, last) = (&topic.name, registered.last_run);
            let was = before.partition(topic.id, index);
            let what = format!(
                "at offset {offset} broker {id} registers ({last:?}), in the {place} of {name}-{index}: {state:?}; before that \
                 record it was {was:?}, and the broker {:?}",
                before.broker(id)
            );
            return Err(Violation::new(NAME, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{image, registered};

    #[test]
    fn a_broker_that_registers_in_an_isr_is_found() {
        let before = image(&[1, 2], Some(1));
        let record = registered(2, 9);
        let mut after = before.clone();
        after.apply(&record).unwrap();
        assert!(check(5, &record, &before, &after).unwrap_err().what.contains("ISR"));
        let (record, mut after) = (registered(3, 9), before.clone());
        after.apply(&record).unwrap();
        check(5, &record, &before, &after).unwrap();
    }
}
