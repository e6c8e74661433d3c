//! Settings of billing.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::cycle::{BadCalendar, Calendar};
use crate::domain::settlement::Settlement;

/// When months begin and who gets the settlement.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BillingSettings {
    /// Day of the month on which a cycle begins, 1 to 31; the month's last day
    /// where it is shorter.
    pub anchor_day: u8,
    /// IANA zone of that day, and of the times in documents.
    pub time_zone: String,
    /// Lines billed in one transaction, at least 1.
    pub page_lines: u64,
    /// Invoices read, and messages saved, at a time while settling, at least 1.
    pub page_invoices: u64,
    /// Business departments by the name that plans use.
    pub departments: BTreeMap<String, DepartmentSettings>,
}

/// One business department.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DepartmentSettings {
    /// Mail addresses that get the department's settlement.
    pub mail: Vec<String>,
}

impl Default for BillingSettings {
    fn default() -> Self {
        Self {
            anchor_day: 1,
            time_zone: "Asia/Seoul".to_owned(),
            page_lines: 2000,
            page_invoices: 2000,
            departments: BTreeMap::new(),
        }
    }
}

impl BillingSettings {
    /// The calendar of accounts without one of their own.
    pub fn calendar(&self) -> Result<Calendar, BadCalendar> {
        Calendar::new(self.anchor_day, &self.time_zone)
    }

    /// Departments of the settlement that have no address.
    pub(super) fn unaddressed(&self, settlement: &Settlement) -> Vec<String> {
        let has_address = |name: &str| self.departments.get(name).is_some_and(|d| !d.mail.is_empty());
        settlement.departments().into_iter().filter(|d| !has_address(d)).map(str::to_owned).collect()
    }
}
