//! What customers are told about a visit.

use super::calendar::{local, zone};
use crate::domain::notification::Language;
use crate::domain::time::{Interval, Timestamp};

/// The SMS about an agreed time, in the customer's zone, with the link to choose another.
pub fn visit_sms(span: Interval, zone_name: &str, link: &str, language: Language) -> String {
    let zone = zone(zone_name).unwrap_or(jiff::tz::TimeZone::UTC);
    let text = |at: Timestamp, form: &str| local(&zone, at).strftime(form).to_string();
    let (from, until) = (text(span.from, "%Y-%m-%d %H:%M"), text(span.until, "%H:%M"));
    match language {
        Language::Ko => format!("[Linegate] 방문 예약: {from}~{until}. 변경: {link}"),
        Language::En => format!("[Linegate] Your visit: {from} to {until}. Change it: {link}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sms_names_the_local_time_and_the_link() {
        let at = |text| Timestamp::parse(text).unwrap();
        let span = Interval { from: at("2026-11-27T23:00:00Z"), until: at("2026-11-28T01:00:00Z") };
        let ko = visit_sms(span, "Asia/Seoul", "https://x/t", Language::Ko);
        assert_eq!(ko, "[Linegate] 방문 예약: 2026-11-28 08:00~10:00. 변경: https://x/t");
        let en = visit_sms(span, "UTC", "https://x/t", Language::En);
        assert_eq!(en, "[Linegate] Your visit: 2026-11-27 23:00 to 01:00. Change it: https://x/t");
    }
}
