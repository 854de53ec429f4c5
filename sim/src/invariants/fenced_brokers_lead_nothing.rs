//! Invariant 8, in part: a broker that is fenced, or shuts down, leads no partition and is in no ISR, after any record of
//! the metadata log.

use ottla_metadata::Image;

use super::Violation;

const NAME: &str = "fenced_brokers_lead_nothing";

/// Checks the metadata after a record. A broker that begins to shut down may lead what nobody else can.
///
/// # Errors
/// The violation.
pub fn check(offset: i64, image: &Image) -> Result<(), Violation> {
    let is_fenced = |id| image.broker(id).is_none_or(|broker| broker.fenced);
    for topic in image.topics() {
        for (index, state) in topic.partitions() {
            let violation = |what: &str, id| {
                let name = &topic.name;
                let what = format!("after offset {offset} broker {id} is fenced, and {what} {name}-{index}");
                Err(Violation::new(NAME, what))
            };
            if let Some(leader) = state.leader.filter(|leader| is_fenced(*leader)) {
                return violation("leads", leader);
            }
            if let Some(member) = state.isr.iter().find(|member| is_fenced(**member)) {
                return violation("is in the ISR of", *member);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{image, registered};
    use ottla_metadata::Record;
    use ottla_metadata::record::BrokerFencing;
    use ottla_types::{BrokerEpoch, BrokerId};

    #[test]
    fn a_leader_that_is_fenced_is_found() {
        let mut image = image(&[1, 2], Some(1));
        check(9, &image).unwrap();
        let fencing = BrokerFencing { id: BrokerId(1), epoch: BrokerEpoch(1), fenced: true };
        image.apply(&Record::BrokerFencing(fencing)).unwrap();
        assert!(check(10, &image).unwrap_err().what.contains("broker 1 is fenced, and leads t-0"));
        image.apply(&registered(1, 8)).unwrap();
        assert!(check(11, &image).is_err(), "a new registration is fenced");
    }
}
