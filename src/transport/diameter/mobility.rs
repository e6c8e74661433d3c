//! S6a towards the serving MME: IDR, DSR and CLR (TS 29.272 sections 5.2.1.2
//! and 5.2.2).
//!
//! Every one of them is safe to repeat, and "not attached here" is an end of it.

use std::ops::RangeInclusive;

use linegate_diameter::apps::List;
use linegate_diameter::apps::s6a::{
    CancelLocationRequest, CancellationType, DeleteSubscriberDataRequest, InsertSubscriberDataRequest, USER_UNKNOWN,
};

use super::elements::{DiameterElements, accepted, is_outcome};
use super::s6a;
use crate::domain::line::Profile;
use crate::ports::network::{Cancellation, NetworkError, ProvisionCommand};

/// CLR-Flags, bits 0 and 1: S6a, and the device is to attach again (TS 29.272 section 7.3.152).
const CLR_S6A: u32 = 0b01;
const CLR_REATTACH: u32 = 0b10;
/// DSR-Flags, bit 3: the PDN subscription contexts listed (TS 29.272 section 7.3.25).
const DSR_CONTEXTS: u32 = 0b1000;

impl DiameterElements {
    /// IDR with the whole Subscription-Data.
    pub(super) async fn insert(&self, mme: &str, imsi: &str, command: &ProvisionCommand) -> Result<bool, NetworkError> {
        let header = InsertSubscriberDataRequest::header();
        let answer = self
            .ask(&self.towards_host(mme), "IDR", header, None, |header, route, out| {
                s6a::with_subscription(&self.s6a, &command.profile, command.state, |subscription_data| {
                    InsertSubscriberDataRequest { route, user_name: imsi, subscription_data, idr_flags: None }
                        .encode(header, out);
                });
            })
            .await?;
        if is_outcome(&answer, USER_UNKNOWN) {
            return Ok(false);
        }
        accepted(&answer, mme, "IDR").map(|()| true)
    }

    /// DSR where APNs alone go and the MME knows it, else IDR, and CLR where the
    /// change would otherwise wait for the next attach.
    pub(super) async fn modify(
        &self,
        mme: &str,
        imsi: &str,
        before: &Profile,
        command: &ProvisionCommand,
    ) -> Result<bool, NetworkError> {
        let after = &command.profile;
        let policy = self.s6a.policy(mme);
        let mut reattach = policy.reattach_after_modify && !is_same_data(before, after);
        if let (Some(contexts), true) = (withdrawn(before, after), policy.delete_subscriber_data) {
            match self.delete(mme, imsi, contexts).await {
                // It has no DSR, or does not know the contexts: it gets the whole
                // data, and lets go of the APNs when the device attaches anew.
                Err(NetworkError::Refused { .. }) => reattach = true,
                ended => return ended,
            }
        }
        let attached = self.insert(mme, imsi, command).await?;
        if attached && reattach {
            return self.cancel(mme, imsi, Cancellation::Reattach).await;
        }
        Ok(attached)
    }

    async fn delete(&self, mme: &str, imsi: &str, contexts: RangeInclusive<u32>) -> Result<bool, NetworkError> {
        let answer = self
            .ask(&self.towards_host(mme), "DSR", DeleteSubscriberDataRequest::header(), None, |header, route, out| {
                let contexts: Vec<u32> = contexts.clone().collect();
                DeleteSubscriberDataRequest {
                    route,
                    user_name: imsi,
                    dsr_flags: DSR_CONTEXTS,
                    context_identifiers: List::from(&contexts),
                }
                .encode(header, out);
            })
            .await?;
        if is_outcome(&answer, USER_UNKNOWN) {
            return Ok(false);
        }
        accepted(&answer, mme, "DSR").map(|()| true)
    }

    /// CLR.
    pub(super) async fn cancel(&self, mme: &str, imsi: &str, why: Cancellation) -> Result<bool, NetworkError> {
        let answer = self
            .ask(&self.towards_host(mme), "CLR", CancelLocationRequest::header(), None, |header, route, out| {
                let (cancellation_type, flags) = match why {
                    Cancellation::Withdrawn => (CancellationType::SubscriptionWithdrawal, CLR_S6A),
                    Cancellation::Reattach => (CancellationType::SubscriptionWithdrawal, CLR_S6A | CLR_REATTACH),
                    Cancellation::Moved => (CancellationType::MmeUpdate, CLR_S6A),
                };
                CancelLocationRequest { route, user_name: imsi, cancellation_type, clr_flags: Some(flags) }
                    .encode(header, out);
            })
            .await?;
        if is_outcome(&answer, USER_UNKNOWN) {
            return Ok(false);
        }
        accepted(&answer, mme, "CLR").map(|()| true)
    }
}

/// Whether an MME would see no difference.
fn is_same_data(before: &Profile, after: &Profile) -> bool {
    before.msisdn == after.msisdn && before.apns == after.apns
}

/// The Context-Identifiers to withdraw, where that is the whole change. They are
/// the APNs' places, so only APNs at the end can go without moving another's;
/// the first one, the default, stays.
fn withdrawn(before: &Profile, after: &Profile) -> Option<RangeInclusive<u32>> {
    let kept = after.apns.len();
    let shorter = kept > 0 && before.apns.starts_with(&after.apns) && before.apns.len() > kept;
    if !shorter || before.msisdn != after.msisdn {
        return None;
    }
    Some(u32::try_from(kept + 1).ok()?..=u32::try_from(before.apns.len()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::line::Access;

    fn profile(apns: &[&str], msisdn: &str) -> Profile {
        Profile {
            access: Access::Cellular,
            imsi: Some("450081234567890".to_owned()),
            msisdn: Some(msisdn.to_owned()),
            device: None,
            apns: apns.iter().map(|apn| (*apn).into()).collect(),
            plan: "iot-payg".into(),
            source: None,
            address: None,
            email: None,
            phone: None,
        }
    }

    #[test]
    fn only_apns_at_the_end_are_withdrawn_by_their_places() {
        let table = [
            (&["a", "b", "c"][..], &["a"][..], "1", Some(2..=3)),
            (&["a", "b"], &["a"], "1", Some(2..=2)),
            (&["a", "b"], &["b"], "1", None),
            (&["a", "b", "c"], &["a", "c"], "1", None),
            (&["a", "b"], &["a", "b"], "1", None),
            (&["a"], &["a", "b"], "1", None),
            (&["a"], &[], "1", None),
            (&["a", "b"], &["a"], "2", None),
        ];
        for (before, after, msisdn, expected) in table {
            let (before, after) = (profile(before, "1"), profile(after, msisdn));
            assert_eq!(withdrawn(&before, &after), expected, "{:?} to {:?}", before.apns, after.apns);
        }
    }
}
