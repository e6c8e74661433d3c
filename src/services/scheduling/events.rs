//! Events about appointments, searches and work orders, complete.

use serde_json::{Value, json};

use crate::domain::fieldwork::WorkOrder;
use crate::domain::notification::Happening;
use crate::domain::scheduling::Appointment;
use crate::domain::time::Timestamp;
use crate::ports::relational::Write;
use crate::services::ordering::tmf;

/// An appointment came to be, or has another state.
pub(crate) fn appointment_happening(appointment: &Appointment, at: Timestamp) -> Write {
    let created = appointment.version == 0;
    let event_type = if created { "AppointmentCreateEvent" } else { "AppointmentStateChangeEvent" };
    of_appointment(event_type, appointment, at)
}

/// An agreed appointment has another time or worker.
pub(super) fn appointment_moved(appointment: &Appointment, at: Timestamp) -> Write {
    of_appointment("AppointmentAttributeValueChangeEvent", appointment, at)
}

/// An appointment is in no list any more.
pub(super) fn appointment_deleted(appointment: &Appointment, at: Timestamp) -> Write {
    of_appointment("AppointmentDeleteEvent", appointment, at)
}

fn of_appointment(event_type: &str, appointment: &Appointment, at: Timestamp) -> Write {
    Write::Happening(Happening {
        event_type: event_type.to_owned(),
        at,
        order: Some(appointment.order.clone()),
        line: None,
        customer: Some(appointment.customer.clone()),
        event: json!({ "appointment": tmf::appointment(appointment) }),
    })
}

/// A work order came to be, or has another state.
pub(crate) fn work_happening(work: &WorkOrder, at: Timestamp) -> Write {
    let created = work.version == 0;
    of_work(if created { "WorkOrderCreateEvent" } else { "WorkOrderStateChangeEvent" }, work, at)
}

/// A work order that is not finished has another worker or time.
pub(super) fn work_moved(work: &WorkOrder, at: Timestamp) -> Write {
    of_work("WorkOrderAttributeValueChangeEvent", work, at)
}

fn of_work(event_type: &str, work: &WorkOrder, at: Timestamp) -> Write {
    Write::Happening(Happening {
        event_type: event_type.to_owned(),
        at,
        order: Some(work.order.clone()),
        line: work.lines.first().cloned(),
        customer: Some(work.customer.clone()),
        event: json!({ "workOrder": tmf::work_order(work) }),
    })
}

/// Something about a search for free time.
pub(super) fn search_happening(event_type: &str, search: &Value, at: Timestamp) -> Write {
    Write::Happening(Happening {
        event_type: event_type.to_owned(),
        at,
        order: None,
        line: None,
        customer: None,
        event: json!({ "searchTimeSlot": search }),
    })
}
