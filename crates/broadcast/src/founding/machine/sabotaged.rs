//! The rules that tests break on purpose, to show that they find it.

use super::Bootstrap;

impl Bootstrap {
    pub(super) fn is_sabotaged_by_keeping_answers(&self) -> bool {
        #[cfg(test)]
        return self.sabotage == Some(crate::founding::model_tests::Sabotage::KeepAnswersOfLostDirectories);
        #[cfg(not(test))]
        false
    }

    pub(super) fn is_sabotaged_by_haste(&self) -> bool {
        #[cfg(test)]
        return self.sabotage == Some(crate::founding::model_tests::Sabotage::FoundByMajority);
        #[cfg(not(test))]
        false
    }

    pub(super) fn is_sabotaged_by_rivals(&self) -> bool {
        #[cfg(test)]
        return self.sabotage == Some(crate::founding::model_tests::Sabotage::EverybodyFounds);
        #[cfg(not(test))]
        false
    }
}
