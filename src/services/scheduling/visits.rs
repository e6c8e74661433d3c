//! How a visit is asked for, and what its customer is told.

use std::sync::Arc;
use std::time::Duration;

use super::{SchedulingSettings, appointment_happening};
use crate::domain::ids::MessageId;
use crate::domain::notification::{Body, Language, Message, Recipient, sms_number};
use crate::domain::scheduling::{Appointment, BadCalendar, Call, CallPlan, CallState, visit_sms};
use crate::domain::time::Timestamp;
use crate::ports::relational::Write;
use crate::services::activation::call_id;
use crate::services::tokens::{Bearer, Tokens};

/// What everybody shares who makes a visit wanted or agreed.
#[derive(Clone)]
pub struct VisitPlan {
    calls: Arc<CallPlan>,
    link: Option<Link>,
}

/// The link with which a customer chooses another time.
#[derive(Clone)]
struct Link {
    url: String,
    life: Duration,
    tokens: Arc<Tokens>,
    language: Language,
    zone: String,
}

impl VisitPlan {
    /// By the settings; SMS are signed by `tokens` and written in `language`.
    ///
    /// # Errors
    /// A zone of the settings is not known.
    pub fn new(settings: &SchedulingSettings, tokens: Arc<Tokens>, language: Language) -> Result<Self, BadCalendar> {
        let link = (!settings.link_url.is_empty()).then(|| Link {
            url: settings.link_url.clone(),
            life: Duration::from_secs(settings.link_s),
            tokens,
            language,
            zone: settings.time_zone.clone(),
        });
        Ok(Self { calls: Arc::new(settings.calls()?), link })
    }

    /// The retry plan of calls.
    pub(crate) fn calls(&self) -> &CallPlan {
        &self.calls
    }

    /// What puts a visit on the call list: the appointment, wanted, and the call to
    /// agree on it in its `round`-th try.
    pub(crate) fn request(&self, appointment: Appointment, round: u32, now: Timestamp) -> Vec<Write> {
        vec![
            Write::Call(self.call(&appointment, round, now)),
            appointment_happening(&appointment, now),
            Write::Appointment(appointment),
        ]
    }

    /// The entry of the call list for the `round`-th try, due in the next call hours.
    pub(super) fn call(&self, appointment: &Appointment, round: u32, now: Timestamp) -> Call {
        Call {
            id: call_id(&appointment.id, round),
            appointment: appointment.id.clone(),
            order: appointment.order.clone(),
            phone: appointment.phone.clone(),
            address: appointment.address.clone(),
            state: CallState::Due,
            attempts: vec![],
            next_attempt: self.calls.hours.next(&appointment.address, now),
            version: 0,
        }
    }

    /// The SMS about an agreed time, with the link to choose another; one for each time.
    pub(crate) fn tell_customer(&self, appointment: &Appointment, now: Timestamp) -> Option<Message> {
        let link = self.link.as_ref()?;
        let (phone, span) = (sms_number(appointment.phone.as_deref()?)?, appointment.span?);
        let token = link.tokens.sign(&Bearer::Visit(appointment.id.clone()), now.plus(link.life));
        let key = format!("sms/{}/{}/visit-agreed", appointment.id, span.from.millis());
        Some(Message {
            id: MessageId::new(&key),
            stream: appointment.order.to_string(),
            once_key: Some(key),
            to: Recipient::Sms { phone },
            body: Body::Text { text: visit_sms(span, &link.zone, &format!("{}{token}", link.url), link.language) },
            created: now,
        })
    }
}
