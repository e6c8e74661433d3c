//! The lines that load and ledger speak for, and the lines file that brings
//! them into a gateway: line n has the n-th IMSI, MSISDN and device.

use std::io::Write;

/// A run of lines with matching identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRange {
    /// IMSI of the first line, 15 digits.
    pub imsi_from: u64,
    /// How many.
    pub lines: u64,
    /// APN that every line owns.
    pub apn: String,
    /// Plan of every line.
    pub plan: String,
}

impl Default for LineRange {
    fn default() -> Self {
        Self { imsi_from: 450_080_000_000_001, lines: 10_000, apn: "iot.example".into(), plan: "iot-payg".into() }
    }
}

impl LineRange {
    /// IMSI of line `n`, from 0.
    pub fn imsi(&self, n: u64) -> String {
        format!("{:015}", self.imsi_from + n)
    }

    /// MSISDN of line `n`: 8210 and eight digits.
    pub fn msisdn(&self, n: u64) -> String {
        format!("8210{:08}", (self.imsi_from + n) % 100_000_000)
    }

    /// Device of line `n`.
    pub fn device(&self, n: u64) -> String {
        format!("modem-{}", self.imsi(n))
    }

    /// Line id of line `n`.
    pub fn line_id(&self, n: u64) -> String {
        format!("line-{}", self.imsi(n))
    }

    /// Writes the lines file: a header and one row for each line.
    pub fn write_csv(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "line_id,customer_id,access,imsi,msisdn,device_id,apns,plan,state")?;
        for n in 0..self.lines {
            let imsi = self.imsi(n);
            let (line, msisdn, device) = (self.line_id(n), self.msisdn(n), self.device(n));
            writeln!(
                out,
                "{line},customer-{imsi},cellular,{imsi},{msisdn},{device},{},{},active",
                self.apn, self.plan
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_file_has_a_header_and_matching_identifiers() {
        let mut out = Vec::new();
        LineRange { lines: 2, ..LineRange::default() }.write_csv(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(
            rows[2],
            "line-450080000000002,customer-450080000000002,cellular,450080000000002,821000000002,\
             modem-450080000000002,iot.example,iot-payg,active"
        );
    }
}
