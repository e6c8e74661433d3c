//! How a visit is asked for, and what its customer is told.

use std::sync::Arc;
use std::time::Duration;

use super::SchedulingSettings;
use super::events::{appointment_happening, appointment_moved};
use crate::domain::ids::{MessageId, WorkerId};
use crate::domain::notification::{Body, Language, Message, Recipient, sms_number};
use crate::domain::scheduling::{Appointment, AppointmentState, BadCalendar, Call, CallPlan, CallState, visit_sms};
use crate::domain::time::{Interval, Timestamp};
use crate::ports::relational::Write;
use crate::ports::scheduling::Scheduler;
use crate::services::activation::call_id;
use crate::services::tokens::{Bearer, Tokens};

/// What everybody shares who makes a visit wanted or agreed.
#[derive(Clone)]
pub struct VisitPlan {
    calls: Arc<CallPlan>,
    link: Option<Link>,
    outside: Option<OutsideScheduler>,
}

/// The scheduler that agrees on visits instead of the call list.
#[derive(Clone)]
pub(crate) struct OutsideScheduler {
    pub(crate) scheduler: Arc<dyn Scheduler>,
    /// How long a visit waits until it is taken; `None` for ever.
    pub(crate) patience: Option<Duration>,
    /// Tries to take a visit back.
    pub(crate) cancel_tries: u32,
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
    /// By the settings; SMS are signed by `tokens` and written in `language`. With a
    /// `scheduler` that agrees on visits.
    ///
    /// # Errors
    /// A zone of the settings is not known.
    pub fn new(
        settings: &SchedulingSettings,
        tokens: Arc<Tokens>,
        language: Language,
        scheduler: Option<Arc<dyn Scheduler>>,
    ) -> Result<Self, BadCalendar> {
        let link = (!settings.link_url.is_empty()).then(|| Link {
            url: settings.link_url.clone(),
            life: Duration::from_secs(settings.link_s),
            tokens,
            language,
            zone: settings.time_zone.clone(),
        });
        let outside = scheduler.map(|scheduler| OutsideScheduler {
            scheduler,
            patience: Some(Duration::from_secs(settings.external_fallback_s)).filter(|p| !p.is_zero()),
            cancel_tries: settings.external_cancel_tries,
        });
        Ok(Self { calls: Arc::new(settings.calls()?), link, outside })
    }

    /// The retry plan of calls.
    pub(crate) fn calls(&self) -> &CallPlan {
        &self.calls
    }

    /// The scheduler outside, where there is one.
    pub(crate) fn outside(&self) -> Option<&OutsideScheduler> {
        self.outside.as_ref()
    }

    /// What makes a visit wanted: the appointment, and the call to agree on it in its
    /// `round`-th try. No call where a scheduler outside is to be asked: what the call
    /// list has had once, stays there.
    pub(crate) fn request(&self, appointment: Appointment, round: u32, now: Timestamp) -> Vec<Write> {
        let is_asked_outside = self.outside.is_some() && round == 1;
        let call = (!is_asked_outside).then(|| Write::Call(self.call(&appointment, round, now)));
        let mut writes: Vec<Write> = call.into_iter().collect();
        writes.push(appointment_happening(&appointment, now));
        writes.push(Write::Appointment(appointment));
        writes
    }

    /// The entry of the call list for the `round`-th try, due in the next call hours.
    pub(crate) fn call(&self, appointment: &Appointment, round: u32, now: Timestamp) -> Call {
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

    /// A time and a worker are agreed, or others: what is told, and the appointment.
    pub(crate) fn agreed(
        &self,
        appointment: &mut Appointment,
        worker: WorkerId,
        span: Interval,
        now: Timestamp,
    ) -> Vec<Write> {
        let is_moved = appointment.state == AppointmentState::Agreed;
        appointment.state = AppointmentState::Agreed;
        (appointment.worker, appointment.span) = (Some(worker), Some(span));
        let told = if is_moved { appointment_moved } else { appointment_happening };
        let mut writes = vec![told(appointment, now)];
        writes.extend(self.tell_customer(appointment, now).map(Write::Message));
        writes.push(Write::Appointment(appointment.clone()));
        writes
    }

    /// The SMS about an agreed time, with the link to choose another; one for each time.
    /// A scheduler outside tells its customers itself.
    fn tell_customer(&self, appointment: &Appointment, now: Timestamp) -> Option<Message> {
        let link = self.link.as_ref().filter(|_| appointment.external.is_none())?;
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
