//! Records of suspense, on their way into charging once more.

use tokio::sync::oneshot;

use super::work::{Answer, Work};
use super::{Charging, ChargingError};
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest, Outcome};
use crate::domain::usage::{SuspenseReason, UsageRecord};
use crate::ports::hot::Position;

impl Charging {
    /// Judges a record of suspense anew, at the account of its line as things are
    /// now; counted once, however often it is asked. The answer says whether it
    /// was counted before (`repeated`) or why it stays (`suspense`).
    pub async fn recycle(&self, record: UsageRecord) -> Result<ChargeAnswer, ChargingError> {
        let stays = |reason| ChargeAnswer { suspense: Some(reason), ..ChargeAnswer::bare(Outcome::Success) };
        let Some(request) = ChargeRequest::again(&record) else { return Ok(stays(SuspenseReason::BadRecord)) };
        // Within a session a request need not name its subscriber: then it was the session's line.
        let of_record = || record.line.zip(record.account).filter(|_| record.subscriber.is_none());
        let (to, answer) = oneshot::channel();
        let reply = Answer::One(to);
        if let Some(owner) = self.find_line(&request) {
            self.admit(request, owner.account, Some(owner.line), reply);
        } else if let Some((line, account)) = of_record() {
            let queue = self.queue_of(&account);
            self.admit_to(queue, request.phase, request.key.source(), reply, |reply| Work::Recycle {
                request,
                account,
                line,
                reply,
            });
        } else {
            return Ok(stays(SuspenseReason::UnknownLine));
        }
        answer.await.unwrap_or(Err(ChargingError::Fatal))
    }

    /// Makes a record durable in suspense that could not become a request.
    pub async fn keep(&self, record: UsageRecord) -> Result<ChargeAnswer, ChargingError> {
        let suspense = record.outcome.reason();
        let (to, answer) = oneshot::channel();
        let kept = ChargeAnswer { suspense, ..ChargeAnswer::bare(Outcome::Success) };
        self.admit_loose(vec![record], kept, Answer::One(to));
        answer.await.unwrap_or(Err(ChargingError::Fatal))
    }

    /// Where the log ends: the drain has passed everything answered so far when it
    /// has passed this.
    pub fn position(&self) -> Position {
        self.shared.hot.last_position()
    }
}
